"""Writes digits as the files that the application `trimodal` takes: a table, PNG, WAV.

    python make_table.py FOLDER

The pairing is synthetic: a picture, a clip and a misspelt word of one digit, put together by
chance. Every tenth cell or so is left empty, as it is in data of one's own.
"""

import csv
import sys
import wave
from pathlib import Path

import numpy as np
from PIL import Image

WORDS = [
    line.split()
    for line in (
        "zero one two three four five six seven eight nine",
        "null eins zwei drei vier fünf sechs sieben acht neun",
        "zéro un deux trois quatre cinq six sept huit neuf",
        "cero uno dos tres cuatro cinco seis siete ocho nueve",
        "zero uno due tre quattro cinque sei sette otto nove",
    )
]
EMPTY, WRONG = 0.1, 0.3


def misspelt(draw, word):
    """Replace some of the letters."""
    strays = "abcdefghijklmnopqrstuvwxyz"
    return "".join(strays[draw.integers(26)] if draw.random() < WRONG else c for c in word)


def write_sound(path, mulaw):
    """Write 8-bit mu-law as a WAV file of 16 bits."""
    coded = mulaw.astype(np.float64) / 127.5 - 1
    samples = np.sign(coded) * (256.0 ** np.abs(coded) - 1) / 255
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def main(folder):
    """Write the table and its files."""
    kept = np.load(Path(__file__).with_name("digits.npz"))
    draw, bounds = np.random.default_rng(0), kept["offset"]
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for at, digit in enumerate(kept["digit"]):
        Image.fromarray(kept["picture"][at]).save(folder / f"{at}.png")
        write_sound(folder / f"{at}.wav", kept["mulaw"][bounds[at] : bounds[at + 1]])
        cells = [misspelt(draw, WORDS[draw.integers(5)][digit]), f"{at}.png", f"{at}.wav"]
        if draw.random() < 3 * EMPTY:
            cells[draw.integers(3)] = ""
        rows.append([*cells, digit, kept["part"][at]])
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "picture", "sound", "label", "part"], *rows])
    print(f"{len(rows)} rows in {folder / 'table.csv'}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python make_table.py FOLDER")
    main(Path(sys.argv[1]))
