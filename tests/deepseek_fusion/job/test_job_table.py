"""The user's table and its files: what is read, and which line is blamed for what can't be."""

import os
import wave

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("PIL")
pytest.importorskip("soundfile")

import soundfile
from PIL import Image as image

from deepseek_core import errors
from deepseek_fusion.job.alphabet import NOTHING, UNKNOWN, Alphabet
from deepseek_fusion.job.items import Form, arrays_of, there, whole_frames, without
from deepseek_fusion.job.pictures import read_picture
from deepseek_fusion.job.sounds import read_sound
from deepseek_fusion.job.table import read_table


def table(folder, text: str, encoding: str = "utf-8"):
    """Write a table."""
    path = folder / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


def sound(path, samples, nbytes: int = 2, rate: int = 8000, channels: int = 1):
    """Write a WAV file of whole numbers."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(nbytes)
        file.setframerate(rate)
        file.writeframes(samples)
    return path


def form(**changes) -> Form:
    """Describe arrays of all modalities."""
    sizes = {"longest_text": 4, "picture_size": 6, "color": False, "rate": 8000,
             "longest_sound": 80}  # fmt: skip
    return Form(modalities=("text", "picture", "sound"), labels=("a", "b"), characters="abc",
                **{**sizes, **changes})  # fmt: skip


def test_a_table_is_read_with_its_gaps(tmp_path) -> None:
    found = read_table(table(tmp_path, "sound,text,label\n,Grüße,a\nx.wav,,b\n"))
    assert found.modalities == ("text", "sound")
    assert [(row.line, row.text, row.label) for row in found.rows] == [
        (2, "Grüße", "a"),
        (3, "", "b"),
    ]
    assert found.rows[1].sound == tmp_path / "x.wav"
    assert read_table(tmp_path).rows == found.rows


@pytest.mark.parametrize(
    ("text", "blamed"),
    [
        ("", "is empty"),
        ("text,label\n", "no row"),
        ("text,lable\na,b\n", "header"),
        ("text,text,label\na,a,b\n", "header"),
        ("text,Text,label\na,a,b\n", "header"),
        ("label\na\n", "lacks a column"),
        ("text\na\n", "lacks a column"),
        ("text,label\na,b\nc\n", "line 3"),
        ("text,picture,label\n,,b\n", "line 2: no text"),
        ("text,label\na,\n", "line 2: no label"),
        ("text,label,part\na,b,training\n", "line 2: the part"),
        ('text,label\n"a,b\n', "line 2"),
    ],
)
def test_what_is_no_table_is_blamed_by_its_line(tmp_path, text: str, blamed: str) -> None:
    with pytest.raises(errors.InputError, match=blamed):
        read_table(table(tmp_path, text))


def test_a_table_of_pandas_with_row_numbers_is_read(tmp_path) -> None:
    found = read_table(table(tmp_path, ",Text,label\n0,a,b\n1,c,d\n"))
    assert [(row.line, row.text, row.label) for row in found.rows] == [(2, "a", "b"), (3, "c", "d")]


def test_another_encoding_is_named_with_the_way_out(tmp_path) -> None:
    with pytest.raises(errors.InputError, match="iconv"):
        read_table(table(tmp_path, "text,label\nGrüße,a\n", "cp1252"))
    assert read_table(table(tmp_path, "\ufefftext,label\na,b\n")).rows[0].text == "a"


def test_characters_are_those_that_were_fitted() -> None:
    alphabet = Alphabet.of(["Ab", "e\u0301"])
    assert alphabet.characters == "abé"
    assert alphabet.encode("aB\u00c9z", 6).tolist() == [2, 3, 4, UNKNOWN, NOTHING, NOTHING]
    assert alphabet.encode("aaaa", 2).tolist() == [2, 2]
    assert alphabet.count == 5


def test_pictures_of_every_mode_and_size_become_bytes_of_one_size(tmp_path) -> None:
    for mode, color in (("1", 1), ("L", 200), ("P", 3), ("RGB", (9, 9, 9)), ("RGBA", (9, 9, 9, 0)),
                        ("LA", (9, 255)), ("I;16", 65535), ("CMYK", (0, 0, 0, 0))):  # fmt: skip
        path = tmp_path / f"x.{'tiff' if mode == 'CMYK' else 'png'}"
        image.new(mode, (7, 3), color).save(path)
        assert read_picture(path, 5, color=False).shape == (1, 5, 5)
        assert read_picture(path, 5, color=True).shape == (3, 5, 5)
    image.new("I;16", (4, 4), 65535).save(tmp_path / "deep.png")
    assert read_picture(tmp_path / "deep.png", 4, color=False).min() == 255
    image.new("RGBA", (4, 4), (255, 255, 255, 0)).save(tmp_path / "clear.png")
    assert read_picture(tmp_path / "clear.png", 4, color=False).max() == 0


def test_damaged_pictures_are_refused_by_name(tmp_path) -> None:
    image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)).save(
        tmp_path / "x.png"
    )
    whole = (tmp_path / "x.png").read_bytes()
    for content in (whole[:100], whole[: len(whole) // 2], b"", b"text"):
        (tmp_path / "x.png").write_bytes(content)
        with pytest.raises(errors.InputError, match=r"x\.png"):
            read_picture(tmp_path / "x.png", 8, color=False)
    with pytest.raises(errors.InputError, match=r"none\.png"):
        read_picture(tmp_path / "none.png", 8, color=False)


def test_sounds_of_every_width_are_the_same_numbers(tmp_path) -> None:
    wanted = np.array([0.5, -0.5, 0.25, -1.0])
    for nbytes in (1, 2, 3, 4):
        whole = (wanted * 2 ** (8 * nbytes - 1)).astype(np.int64)
        raw = b"".join(
            int(v + 128).to_bytes(1, "little") if nbytes == 1
            else int(v).to_bytes(nbytes, "little", signed=True)
            for v in whole
        )  # fmt: skip
        got = read_sound(sound(tmp_path / "x.wav", raw, nbytes), 8000, 99)
        assert got.tolist() == wanted.tolist(), nbytes
    stereo = np.array([[100, 300], [-100, 100]], "<i2").tobytes()
    got = read_sound(sound(tmp_path / "x.wav", stereo, channels=2), 8000, 99)
    assert np.allclose(got, [200 / 32768, 0.0])
    assert len(read_sound(sound(tmp_path / "x.wav", bytes(400)), 8000, 50)) == 50


def test_sounds_that_can_not_be_heard_are_refused_by_name(tmp_path) -> None:
    with pytest.raises(errors.InputError, match="no samples"):
        read_sound(sound(tmp_path / "x.wav", b""), 8000, 50)
    with pytest.raises(errors.InputError, match="rate=16000"):
        read_sound(sound(tmp_path / "x.wav", bytes(40), rate=16000), 8000, 50)
    for content in (b"", b"RIFF", b"no sound at all, but text"):
        (tmp_path / "x.wav").write_bytes(content)
        with pytest.raises(errors.InputError, match=r"x\.wav"):
            read_sound(tmp_path / "x.wav", 8000, 50)
    with pytest.raises(errors.InputError, match=r"none\.wav"):
        read_sound(tmp_path / "none.wav", 8000, 50)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "FLOAT"), ("WAVEX", "PCM_24"), ("WAV", "ULAW"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
     ("AIFF", "PCM_16"), ("MP3", "MPEG_LAYER_III")],
)  # fmt: skip
def test_sounds_of_other_tools_are_heard(tmp_path, kind: str, subtype: str) -> None:
    tone = 0.5 * np.sin(np.arange(4000) * 0.2)
    path = tmp_path / "x"
    soundfile.write(path, np.stack((tone, tone), 1), 8000, format=kind, subtype=subtype)
    got = read_sound(path, 8000, 3000)
    assert len(got) == 3000
    assert np.abs(got[1000:2000] - tone[1000:2000]).mean() < 0.02


def test_a_sound_with_samples_that_are_no_numbers_is_refused(tmp_path) -> None:
    samples = np.array([0.5, np.nan, 0.25])
    soundfile.write(tmp_path / "x.wav", samples, 8000, subtype="FLOAT")
    with pytest.raises(errors.InputError, match="no finite numbers"):
        read_sound(tmp_path / "x.wav", 8000, 50)


def test_a_pipe_keeps_nobody_waiting(tmp_path) -> None:
    os.mkfifo(tmp_path / "x.wav")
    with pytest.raises(errors.InputError, match="is not a file"):
        read_sound(tmp_path / "x.wav", 8000, 50)


def test_arrays_say_what_is_there(tmp_path) -> None:
    image.new("L", (9, 9), 7).save(tmp_path / "p.png")
    sound(tmp_path / "s.wav", bytes(200))
    rows = read_table(
        table(tmp_path, "text,picture,sound,label\nab,,,a\n,p.png,,a\n,,s.wav,b\n")
    ).rows
    arrays = arrays_of(rows, form())
    assert [there(arrays, name).tolist() for name in form().modalities] == np.eye(3).astype(
        bool
    ).tolist()
    assert arrays["sound_length"].tolist() == [0, 0, 80]
    gone = without(arrays, ["sound", "text"])
    assert not there(gone, "sound").any()
    assert there(gone, "picture").any()
    assert there(arrays, "sound").any()


def test_a_file_that_fails_is_told_with_its_line(tmp_path) -> None:
    rows = read_table(table(tmp_path, "picture,label\nnone.png,a\n")).rows
    with pytest.raises(errors.InputError, match=r"line 2: .*none\.png"):
        arrays_of(rows, form())


def test_sounds_are_whole_frames() -> None:
    assert [whole_frames(n) for n in (1, 40, 41, 4000)] == [40, 40, 80, 4000]


def test_a_form_of_another_version_is_refused() -> None:
    assert Form.of_facts(form().facts(), "here") == form()
    with pytest.raises(errors.ArtifactError, match="here"):
        Form.of_facts({"labels": ["a"]}, "here")
