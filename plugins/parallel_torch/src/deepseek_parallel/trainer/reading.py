"""Microbatches read ahead by worker processes, or when they are wanted."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final

import torch

from deepseek_core import errors
from deepseek_parallel.sampling import Order
from deepseek_parallel.trainer.data import Data
from deepseek_parallel.trainer.pieces import Piece
from deepseek_parallel.trainer.ranges import DATA, marked
from deepseek_parallel.trainer.seeding import begin_at

_LIMIT_S: Final = 600.0
"""How long a microbatch may take to be read."""
_data: Data  # of a worker process


class Reader:
    """Reads pieces of an order; `prepare` says which come soon."""

    def __init__(self, data: Data, order: Order, seed: int) -> None:
        self.data, self._order, self._seed = data, order, seed
        self._pool: ProcessPoolExecutor | None = None
        self._coming: dict[Piece, Future[Any]] = {}

    def prepare(self, pieces: Iterable[Piece]) -> None:
        """Let workers begin with these; what was prepared and is not among them is dropped."""
        if not self.data.workers:
            return
        wanted = dict.fromkeys(pieces)
        for piece in [piece for piece in self._coming if piece not in wanted]:
            self._coming.pop(piece).cancel()
        for piece in wanted:
            if piece not in self._coming:
                numbers = self._numbers(piece)
                self._coming[piece] = self._begun().submit(
                    _read, numbers, self._seed, piece.position
                )

    def read(self, piece: Piece) -> Any:
        """The batch of a piece; random numbers of the dataset hang on its position.

        Raises:
            InputError: the dataset has shrunk, or a worker is gone.
        """
        with marked(DATA):
            return self._read(piece)

    def _read(self, piece: Piece) -> Any:
        future = self._coming.pop(piece, None)
        if future is None:
            begin_at(self._seed, piece.position)
            return self.data.read(self._numbers(piece))
        try:
            return future.result(_LIMIT_S)
        except BrokenProcessPool as error:
            raise errors.InputError(
                "a worker process of the data is gone: it was killed, or has crashed",
                remedy="see the system's log for memory that ran out, or use num_workers=0",
            ) from error
        except TimeoutError as error:
            raise errors.InputError(
                f"samples of position {piece.position} were not read in {_LIMIT_S:g} s",
                remedy="see what the dataset waits for, or use num_workers=0",
            ) from error

    def close(self) -> None:
        """End the workers."""
        self._coming.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _numbers(self, piece: Piece) -> list[int]:
        numbers: list[int] = self._order.indices(piece.position, piece.count).tolist()
        return numbers

    def _begun(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = self.data.context or multiprocessing.get_context()
            self._pool = ProcessPoolExecutor(
                self.data.workers, mp_context=context, initializer=_begin, initargs=(self.data,)
            )
        return self._pool


def _begin(data: Data) -> None:
    global _data  # noqa: PLW0603 - of this process, which reads from one dataset
    _data = data
    torch.set_num_threads(1)


def _read(numbers: Sequence[int], seed: int, position: int) -> Any:
    begin_at(seed, position)
    return _data.read(numbers)
