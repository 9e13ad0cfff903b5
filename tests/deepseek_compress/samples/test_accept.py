"""What users return as a data set, taken if it is unmistakable and refused with a remedy if not."""

from fractions import Fraction

import numpy as np
import pytest

from deepseek_compress.samples import accept
from deepseek_compress.samples.accept import as_samples
from deepseek_compress.samples.names import Expected
from deepseek_compress.samples.subsets import fingerprint, split
from deepseek_core import compression, errors

PICTURES = Expected(inputs={"image": (1, 1, 4, 4)}, where="data.train")
X = np.arange(6 * 16, dtype=np.float32).reshape(6, 1, 4, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


def together(samples, **order):
    batches = list(samples.batches(4, **order))
    inputs = {n: np.concatenate([b.inputs[n] for b in batches]) for n in batches[0].inputs}
    labels = [b.labels for b in batches]
    return inputs, None if labels[0] is None else np.concatenate(labels)


class Pairs:
    """A map-style data set, as torch has them."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, place):
        return self.items[place]


class Again:
    """An iterable that begins again each time."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


PAIRS = list(zip(X, Y, strict=True))
BATCHES = [(X[:4], Y[:4]), (X[4:], Y[4:])]


def generate():
    yield from BATCHES


@pytest.mark.parametrize(
    "given",
    [
        (X, Y),
        {"image": X, "labels": Y},
        {"x": X, "y": Y},
        ({"image": X}, Y),
        PAIRS,
        tuple(PAIRS),
        Pairs(PAIRS),
        Pairs([{"image": x, "labels": y} for x, y in PAIRS]),
        Again(BATCHES),
        Again(PAIRS),
        list(BATCHES),
        Again([compression.Batch(inputs={"image": X}, labels=Y)]),
        generate,
        lambda: (X, Y),
        lambda: Pairs(PAIRS),
        lambda: lambda: (X, Y),
    ],
)
def test_forms_that_are_unmistakable(given):
    if callable(given) and callable(given()) and not isinstance(given(), Pairs):
        with pytest.raises(errors.InputError, match="gave a function"):
            as_samples(given, PICTURES)
        return
    samples = as_samples(given, PICTURES)
    assert isinstance(samples, compression.Samples)
    inputs, labels = together(samples)
    assert list(inputs) == ["image"]
    np.testing.assert_array_equal(inputs["image"], X)
    np.testing.assert_array_equal(labels, Y)


def test_torch_forms():
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader, IterableDataset, TensorDataset

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(PAIRS)

    tensors = torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y)
    data = TensorDataset(*tensors)
    loaders = [DataLoader(data, 4), DataLoader(Stream(), 4)]
    loaders.append(DataLoader(data, 4, collate_fn=lambda items: BATCHES[len(items) < 4]))
    for given in (tensors, data, Stream(), *loaders):
        inputs, labels = together(as_samples(given, PICTURES))
        np.testing.assert_array_equal(inputs["image"], X)
        np.testing.assert_array_equal(labels, Y)


def test_a_loader_that_only_stacks_keeps_its_augmentation():
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    class Noisy(Pairs):
        def __getitem__(self, place):
            return X[place] + torch.rand(()).item(), Y[place]

    samples = as_samples(DataLoader(Noisy(PAIRS), 4), PICTURES)
    first, second = together(samples)[0]["image"], together(samples)[0]["image"]
    assert not np.array_equal(first, second)


def test_files(tmp_path):
    np.savez(tmp_path / "plain.npz", x=X, y=Y)
    np.savez(tmp_path / "named.npz", image=X, labels=Y)
    for name in ("plain.npz", "named.npz"):
        inputs, labels = together(as_samples(tmp_path / name, PICTURES))
        np.testing.assert_array_equal(inputs["image"], X)
        np.testing.assert_array_equal(labels, Y)
    (tmp_path / "half.npz").write_bytes((tmp_path / "plain.npz").read_bytes()[:300])
    np.savez(tmp_path / "objects.npz", x=np.array([{}], object), y=Y[:1])
    for name in ("half.npz", "objects.npz", "none.npz", "plain.csv"):
        with pytest.raises(errors.ArtifactError) as caught:
            as_samples(str(tmp_path / name), PICTURES)
        assert caught.value.remedy


def test_inputs_without_labels():
    for given in (X, {"image": X}, (X, None), Pairs(list(X))):
        inputs, labels = together(as_samples(given, PICTURES))
        np.testing.assert_array_equal(inputs["image"], X)
        assert labels is None


def test_several_inputs():
    wanted = Expected(inputs={"left": (1, 2), "right": (1, 3)})
    left, right = np.ones((6, 2), np.float32), np.zeros((6, 3), np.float32)
    for given in (
        (left, right, Y),
        ((left, right), Y),
        {"right": right, "left": left, "labels": Y},
        ({"left": left, "right": right}, Y),
    ):
        inputs, labels = together(as_samples(given, wanted))
        assert {n: a.shape[1] for n, a in inputs.items()} == {"left": 2, "right": 3}
        np.testing.assert_array_equal(labels, Y)
    with pytest.raises(errors.InputError, match="2 values in a row"):
        as_samples((left, right), wanted)  # two inputs, or one and labels?
    with pytest.raises(errors.InputError, match="'right' is missing"):
        as_samples({"left": left, "labels": Y}, wanted)


def test_order_depends_on_the_seed_alone():
    samples = as_samples((X, Y), PICTURES)
    one, other = together(samples, seed=3)[1], together(samples, seed=3)[1]
    np.testing.assert_array_equal(one, other)
    whole = np.concatenate([b.inputs["image"].ravel() for b in samples.batches(4, seed=3)])
    np.testing.assert_array_equal(np.sort(whole), X.ravel())
    assert not np.array_equal(whole, X.ravel())


def test_numbers_become_those_of_models():
    made = as_samples((X.astype(">f8"), Y.astype(">i4")), PICTURES)
    (batch,) = made.batches(9)
    assert batch.inputs["image"].dtype == np.float32
    assert batch.labels.dtype == np.int32
    (pixels,) = as_samples((X.astype(np.uint8), Y), PICTURES).batches(9)
    assert pixels.inputs["image"].dtype == np.uint8  # the function gives what the model eats


GENERATOR = iter(BATCHES)
NANS = np.where(np.arange(6)[:, None, None, None] == 4, np.nan, X)

REFUSED = {
    "lengths": ((X, Y[:5]), "image has 6, labels has 5"),
    "empty": ((X[:0], Y[:0]), "is empty"),
    "empty list": ([], "is empty"),
    "empty data set": (Pairs([]), "is empty"),
    "generator": ((pair for pair in PAIRS), "but once"),
    "iterator": (GENERATOR, "but once"),
    "exhausted": (Again(iter([])), "gone through before"),
    "NaN": ((NANS, Y), "1 samples have NaN or infinity, the first is number 4"),
    "all NaN": ((X * np.nan, Y), "all 6 samples"),
    "NaN labels": ((X, Y * np.nan), "labels: all 6"),
    "NaN item": (Pairs(list(zip(NANS, Y, strict=True))), None),
    "text": ((X, Y.astype(str)), "dtype <U"),
    "objects": ((np.array([{}, {}], object), Y[:2]), "dtype object"),
    "complex": ((X.astype(complex), Y), "complex"),
    "ragged": ([(X[0], 0), (X[1, :, :2], 1)], None),
    "masked": ((np.ma.masked_equal(X, 3.0), Y), "masked"),
    "shape": ((X[:, 0], Y), r"shape \(4, 4\)"),
    "other shape": ((np.ones((6, 3, 4, 4)), Y), r"\(3, 4, 4\)"),
    "a wrong name": ({"imgae": X, "labels": Y}, "no input 'imgae'"),
    "labels alone": ({"labels": Y}, "'image' is missing"),
    "label": ({"image": X, "label": Y}, "no input 'label'"),
    "three values": ((X, Y, Y), "3 values in a row"),
    "list of arrays": ([X, Y], "list of ndarray"),
    "number": (7, "is a int"),
    "fractions": ((X, [Fraction(1, 2)] * 6), "dtype object"),
    "scalars": ((np.float32(1.0), Y), "one number"),
    "some labels": (Pairs([(X[0], 1), (X[1], None)]), None),
    "loader of nothing": (Again([]), "empty"),
    "raising function": (lambda: 1 / 0, "ZeroDivisionError"),
    "none": (None, "NoneType"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_data_set(name):
    given, said = REFUSED[name]
    with pytest.raises(errors.InputError, match=said) as caught:
        list(as_samples(given, PICTURES).batches(6))
    assert caught.value.remedy


def test_remedies_name_the_nearest():
    with pytest.raises(errors.InputError) as caught:
        as_samples({"imgae": X, "labels": Y}, PICTURES)
    assert caught.value.remedy == "did you mean 'image'?"
    with pytest.raises(errors.InputError) as caught:
        as_samples((X[:, 0], Y), PICTURES)
    assert caught.value.remedy == "add the missing axis: np.expand_dims(x, 1)"
    fixed = np.expand_dims(X[:, 0], 1)  # as the remedy says
    assert len(as_samples((fixed, Y), PICTURES)) == 6
    color = Expected(inputs={"image": (1, 3, 4, 5)})
    with pytest.raises(errors.InputError) as caught:
        as_samples(np.ones((6, 4, 5, 3)), color)
    assert caught.value.remedy == "put the channels first: np.moveaxis(x, -1, 1)"
    assert len(as_samples(np.moveaxis(np.ones((6, 4, 5, 3)), -1, 1), color)) == 6
    with pytest.raises(errors.InputError) as caught:
        as_samples(np.ones((6, 3, 4, 5)), Expected(inputs={"image": (3, 4, 5)}))
    assert caught.value.remedy == "model.input begins with the batch: [1, 3, 4, 5]"


def test_a_data_set_that_raises_in_the_middle_names_the_sample():
    class Broken(Pairs):
        def __getitem__(self, place):
            if place == 4:
                raise KeyError("pixel")
            return super().__getitem__(place)

    samples = as_samples(Broken(PAIRS), PICTURES)
    with pytest.raises(errors.InputError, match="sample 4 can't be read: KeyError") as caught:
        list(samples.batches(2))
    assert isinstance(caught.value.__cause__, KeyError)

    def stream():
        yield BATCHES[0]
        raise OSError("disk")

    with pytest.raises(errors.InputError, match="batch 1 can't be read: OSError"):
        as_samples(stream, PICTURES)


def test_a_sample_or_a_batch_is_not_guessed():
    unknown = Expected(where="data.train")
    assert len(as_samples(PAIRS, unknown)) == 6  # labels without an axis are of one sample
    assert len(as_samples(list(BATCHES), unknown)) == 6
    with pytest.raises(errors.InputError, match="sample or a batch"):
        as_samples([{"a": X}, {"a": X}], unknown)


def test_endless_batches_are_refused(monkeypatch):
    monkeypatch.setattr(accept, "MOST_GATHERED_NBYTES", 10_000)

    def endless():
        while True:
            yield X, Y

    with pytest.raises(errors.InputError, match="read into memory"):
        as_samples(endless, PICTURES)


@pytest.mark.parametrize("given", [(X, Y), Pairs(PAIRS)])
def test_a_held_out_share_is_disjoint_and_repeats(given):
    samples = as_samples(given, PICTURES)
    kept, held_out = split(samples, 0.3, seed=1)
    assert (len(kept), len(held_out)) == (4, 2)
    parts = [together(part)[0]["image"].reshape(-1, 16)[:, 0] for part in (kept, held_out)]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), X[:, 0, 0, 0])
    assert fingerprint(split(samples, 0.3, seed=1)[0]) == fingerprint(kept)
    assert fingerprint(split(samples, 0.3, seed=2)[0]) != fingerprint(kept)
    with pytest.raises(errors.InputError, match="a share of"):
        split(samples, 0.01, seed=1)


def test_samples_of_others_are_taken_as_they_are():
    class Own:
        def __len__(self):
            return 6

        def batches(self, size, *, seed=None):
            yield compression.Batch(inputs={"image": X}, labels=Y)

    own = Own()
    assert as_samples(own, PICTURES) is own
    kept, held_out = split(own, 0.5, seed=0)
    assert (len(kept), len(held_out)) == (3, 3)


def test_a_changed_sample_is_another_fingerprint():
    changed = X.copy()
    changed[5, 0, 3, 3] += 1
    one, other = (fingerprint(as_samples((x, Y), PICTURES)) for x in (X, changed))
    assert one != other


def test_x_and_y_are_input_and_labels_of_a_model_whose_input_is_called_x(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.ones((3, 2), np.float32), y=np.arange(3))
    samples = as_samples(tmp_path / "data.npz", Expected(inputs={"x": (1, 2)}))
    (batch,) = samples.batches(3)
    assert set(batch.inputs) == {"x"}
    assert list(batch.labels) == [0, 1, 2]


class Mirrored:
    """Samples of the contract, half of them mirrored in each epoch if asked."""

    def __init__(self, varied):
        self.varied = varied

    def __len__(self):
        return len(X)

    def batches(self, size, *, seed=None):
        rng = np.random.default_rng(seed)
        rows = np.arange(len(X)) if seed is None else rng.permutation(len(X))
        mirrored = np.arange(len(X)) % 2 * self.varied * (seed is not None)
        x = np.where(mirrored[:, None, None, None] > 0, X[rows][..., ::-1], X[rows])
        for start in range(0, len(X), size):
            part = slice(start, start + size)
            yield compression.Batch(inputs={"image": x[part]}, labels=Y[rows][part])


def test_no_share_is_held_out_of_samples_that_are_drawn_anew():
    rest, share = split(Mirrored(varied=False), 1 / 3, 0)
    assert (len(rest), len(share)) == (4, 2)
    with pytest.raises(errors.InputError, match="drawn again in each epoch") as caught:
        split(Mirrored(varied=True), 1 / 3, 0)
    assert "data.validation" in caught.value.remedy
