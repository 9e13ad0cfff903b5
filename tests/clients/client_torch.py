"""torch: save and load, and DataLoaders whose workers read `ds://`, forked and spawned."""

import io

import fsspec
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

FILES = 24


class Files(Dataset):
    """A tensor of each file."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.fs = fsspec.filesystem("ds")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> torch.Tensor:
        with self.fs.open(self.names[index], "rb") as file:
            return torch.load(file, weights_only=True)


class Stream(IterableDataset):
    """Lines of one file."""

    def __iter__(self):
        with fsspec.open("ds://torch/lines.txt", "rt") as file:
            yield from (int(line) for line in file)


def main() -> None:
    """Write, and read in all ways."""
    state = {"weight": torch.arange(100_000.0), "step": torch.tensor(7)}
    with fsspec.open("ds://torch/state.pt", "wb") as file:
        torch.save(state, file)
    with fsspec.open("ds://torch/state.pt", "rb") as file:
        found = torch.load(file, weights_only=True)
    assert torch.equal(found["weight"], state["weight"]) and found["step"] == 7
    names = [f"torch/samples/{number:03}.pt" for number in range(FILES)]
    fs = fsspec.filesystem("ds")
    for number, name in enumerate(names):
        held = io.BytesIO()
        torch.save(torch.full((4,), number), held)
        fs.pipe_file(name, held.getbuffer())
    fs.write_text("torch/lines.txt", "".join(f"{number}\n" for number in range(100)))
    wanted = sorted(list(range(FILES)) * 4)
    for workers, context in ((0, None), (2, "fork"), (2, "spawn")):
        loader = DataLoader(
            Files(names), batch_size=5, num_workers=workers, multiprocessing_context=context
        )
        for _ in range(2):
            assert torch.cat(list(loader)).flatten().sort()[0].tolist() == wanted
        lines = DataLoader(Stream(), batch_size=7, num_workers=min(1, workers),
                           multiprocessing_context=context)  # fmt: skip
        assert torch.cat(list(lines)).tolist() == list(range(100))
    fs.pipe_file("torch/after", b"the parent still writes")
    print("right")


if __name__ == "__main__":
    main()
