"""Metrics and thresholds of the users' own: what they may give, and what is refused by name."""

import numpy as np
import pytest

from deepseek_compress.samples.accept import as_samples
from deepseek_compress.samples.names import Expected
from deepseek_compress.train.evaluate import difference
from deepseek_compress.train.intervals import paired, wilson
from deepseek_compress.train.own_metric import answers, choose_threshold, measure
from deepseek_core import errors

COUNT, POSITIVE = 200, 40


def samples(shift=0.0, seed=0, positive=POSITIVE):
    """Scores as inputs, so that a model is the identity; positives are higher by one."""
    labels = (np.arange(COUNT) < positive).astype(np.int64)
    x = np.random.default_rng(seed).normal(labels + shift * labels, 1.0)[:, None]
    return as_samples((x.astype(np.float32), labels), Expected(inputs={"x": (1, 1)}))


def same(inputs):
    return inputs["x"]


def recall(outputs, labels, threshold=1.0):
    return np.ma.array(outputs[:, 0] > threshold, mask=labels == 0)


def share(outputs, labels):
    """As `recall`, as one number, which has no meaning without positives."""
    return (outputs[labels == 1, 0] > 1.0).sum() / np.float64((labels == 1).sum())


def hits_of(given):
    (batch,) = given.batches(COUNT)
    return (batch.inputs["x"][:POSITIVE, 0] > 1.0).astype(float)


def test_masked_samples_do_not_count():
    given = samples()
    found, hits = measure(same, given, recall), hits_of(given)
    assert found.metric == "recall"
    assert found.score == wilson(hits.sum(), POSITIVE)
    assert found.count == COUNT
    assert found.counted.sum() == POSITIVE


def test_a_difference_is_of_the_samples_that_count():
    one, other = samples(), samples(shift=0.8)
    found = difference(measure(same, one, recall), measure(same, other, recall))
    assert found == paired(hits_of(one), hits_of(other))
    assert found.p < 0.05


def test_a_difference_of_figures_of_the_set_is_of_equal_resampled_sets():
    one, other = samples(), samples(shift=0.8)
    first, second = (measure(same, given, share) for given in (one, other))
    found = difference(first, second).interval
    assert found.value == pytest.approx(second.score.value - first.score.value)
    assert 0 < found.low < found.value < found.high
    assert difference(first, first).interval.high == 0  # sample by sample: no noise of its own


def test_a_mask_that_follows_the_outputs_is_compared_by_sets():
    def precision(outputs, labels):
        return np.ma.array(labels, mask=outputs[:, 0] <= 1.0)

    first, second = (measure(same, samples(shift), precision) for shift in (0.0, 0.8))
    assert first.counted.sum() != second.counted.sum()
    assert difference(first, second).interval.low > -0.1


@pytest.mark.parametrize("way", ["nan", "raises", "masks"])
def test_resampled_sets_without_a_meaning_are_left_out(way):
    def rare(outputs, labels):
        if way == "masks":
            return recall(outputs, labels, threshold=-9.0).mean()  # 1, or masked without positives
        if way == "raises" and not labels.any():
            raise ValueError("only one class")  # as scikit-learn's roc_auc_score
        with np.errstate(invalid="ignore"):
            return share(outputs, labels)

    found = measure(same, samples(positive=1), rare).score
    assert np.isfinite([found.value, found.low, found.high]).all()
    assert way != "masks" or found.low == 1.0


def test_a_threshold_is_handed_on_and_told():
    found = measure(same, samples(), recall, threshold=-9.0)
    assert (found.score.value, found.threshold) == (1.0, -9.0)


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda y, t: None, "gives a NoneType, no number"),
        (lambda y, t: "0.9", "gives a str, no number"),
        (lambda y, t: {"recall": 0.9}, "gives a dict, no number"),
        (lambda y, t: 1j, "gives a complex, no number"),
        (lambda y, t: [1, [2, 3]], "gives a list, no number"),
        (lambda y, t: float("nan"), "gives NaN or infinity for the samples"),
        (lambda y, t: np.where(t == 1, np.nan, 1.0), "NaN or infinity for 40 of 200 samples"),
        (lambda y, t: np.ma.array(t, mask=True), "masks all 200 samples"),
        (lambda y, t: np.ma.array(t, mask=True).mean(), "masks all 200 samples"),
        (lambda y, t: np.ones((COUNT, 2)), r"gives shape \[200, 2\] for 200 samples"),
        (lambda y, t: 1 // 0, "raised ZeroDivisionError"),
        (lambda y: 1.0, "raised TypeError"),
    ],
)
def test_metrics_that_give_no_figure(gives, said):
    with pytest.raises(errors.InputError, match=said) as caught:
        measure(same, samples(), gives)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda y, t: None, "threshold function <lambda> gives a NoneType"),
        (lambda y, t: float("nan"), "gives nan"),
        (lambda y, t: y, "threshold function <lambda> gives"),
        (lambda y, t: np.ma.masked_all(1), "threshold function <lambda> gives"),
        (lambda y, t: y[t == 7].max(), "raised ValueError"),
    ],
)
def test_threshold_functions_that_give_none(gives, said):
    with pytest.raises(errors.InputError, match=said) as caught:
        choose_threshold(same, samples(), gives)
    assert caught.value.remedy


def test_a_metric_may_sort_what_it_is_given():
    def sorts(outputs, labels):
        outputs.sort(axis=0)
        labels[:] = labels[::-1].copy()
        return float((outputs[labels == 1, 0] > 1.0).mean())

    def copies(outputs, labels):
        return sorts(outputs.copy(), labels.copy())

    given = samples()
    scores = [measure(same, given, metric).score for metric in (sorts, copies)]
    assert scores[0] == scores[1]
    np.testing.assert_array_equal(given.labels, samples().labels)


def test_a_threshold_is_one_number():
    assert choose_threshold(same, samples(), lambda y, t: np.array([0.5])) == 0.5


def test_named_errors_of_the_user_stay_as_they_are():
    def choose(outputs, labels):
        raise errors.InputError("no good tiles", remedy="give some")

    with pytest.raises(errors.InputError, match=r"^no good tiles"):
        choose_threshold(same, samples(), choose)


def test_a_metric_compares_with_known_samples_of_the_same_model():
    given, others = samples(), samples(seed=1)
    known = answers(same, others)

    def nearest(outputs, labels, known_outputs, known_labels):
        gaps = np.abs(outputs - known_outputs[:, 0])
        return known_labels[gaps.argmin(axis=1)] == labels

    found = measure(same, given, nearest, known=known)
    assert found.score.count == COUNT
    assert 0.5 < found.score.value < 0.95
    itself = measure(same, given, nearest, known=answers(same, given)).score
    assert itself == wilson(COUNT, COUNT)
    whole = measure(same, given, lambda *a: nearest(*a).mean(), known=known)
    assert whole.score.value == pytest.approx(found.score.value)
    with pytest.raises(errors.InputError, match="metric <lambda> raised") as caught:
        measure(same, given, lambda y, t: 1.0, known=known)
    assert "data.reference" in caught.value.remedy
    chosen = choose_threshold(same, given, lambda y, t, k, u: k[u == 1].min(), known=known)
    assert chosen == pytest.approx(float(known[0][known[1] == 1].min()))
