"""Scripts as users have them, and mistakes that they make: right, or told by name."""

import math

import pytest
import torch
import trainer_jobs as jobs
from process import one_thread
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, WeightedRandomSampler

from deepseek_core import errors
from deepseek_parallel.trainer.evaluation import EarlyStop, Evaluation
from deepseek_parallel.trainer.trainer import Trainer


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def trainer(model=None, optimizer=None, loss=jobs.mean, data=None, **options):
    model = jobs.plain() if model is None else model
    optimizer = jobs.sgd(model) if optimizer is None else optimizer
    data = jobs.data() if data is None else data
    return Trainer(model, optimizer, loss, data, **{"batch": 20, **options})


class Net(nn.Module):
    """As in pytorch/examples/mnist: convolutions, dropout, log_softmax."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(8 * 4 * 4, 16), nn.Linear(16, 4)

    def forward(self, x):
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        x = torch.flatten(self.dropout1(functional.max_pool2d(x, 2)), 1)
        return functional.log_softmax(self.fc2(self.dropout2(functional.relu(self.fc1(x)))), dim=1)


def pictures(length=96):
    """A bright quarter each: its number is the class."""
    draw = torch.Generator().manual_seed(0)
    classes = torch.arange(length) % 4
    x = 0.3 * torch.randn(length, 1, 12, 12, generator=draw)
    for number, quarter in enumerate(classes.tolist()):
        row, column = divmod(quarter, 2)
        x[number, 0, 6 * row : 6 * row + 6, 6 * column : 6 * column + 6] += 1
    return TensorDataset(x, classes)


def test_the_mnist_example():
    torch.manual_seed(1)
    model = Net()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    right = lambda m, b: (m(b[0]).argmax(1) == b[1]).float().mean()  # noqa: E731
    report = trainer(
        model,
        optimizer,
        lambda m, b: functional.nll_loss(m(b[0]), b[1]),
        DataLoader(pictures(), batch_size=16, shuffle=True),
        batch=None,
        scheduler=torch.optim.lr_scheduler.StepLR(optimizer, step_size=36, gamma=0.7),
        evaluate=Evaluation(data=DataLoader(pictures(40), batch_size=40), metrics={"right": right}),
    ).fit(epochs=12)
    assert report.steps == 72
    assert report.evaluations[-1][1]["right"] > 0.9
    assert len(report.evaluations) == 12


class Tokens:
    """A Hugging Face-style dataset: dicts of lists of unequal length."""

    def __init__(self, length=40):
        draw = torch.Generator().manual_seed(0)
        sizes = torch.randint(2, 9, (length,), generator=draw).tolist()
        self.rows = [
            {"input_ids": [(7 * n + 3 * k) % 29 + 1 for k in range(size)], "labels": n % 3}
            for n, size in enumerate(sizes)
        ]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, number):
        assert type(number) is int
        return self.rows[number]


def padded(rows):
    """A batch of dicts: input_ids, attention_mask, labels."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
    labels = torch.tensor([row["labels"] for row in rows])
    return {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": labels}


class Classifier(nn.Module):
    """Gives a dict with a loss, as models of transformers do."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(30, 8, padding_idx=0), nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask, labels):
        mask = attention_mask[..., None].float()
        pooled = (self.embed(input_ids) * mask).sum(1) / mask.sum(1)
        logits = self.head(pooled)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def test_dict_batches_and_a_model_that_gives_its_loss():
    torch.manual_seed(0)
    model = Classifier()
    loader = DataLoader(Tokens(), batch_size=8, collate_fn=padded, num_workers=1)
    report = trainer(
        model,
        torch.optim.AdamW(model.parameters(), lr=0.05),
        lambda m, batch: m(**batch)["loss"],
        loader,
        batch=None,
        clip=1.0,
    ).fit(steps=60)
    assert report.losses[-1] < 0.5 * report.losses[0]


def test_token_losses_with_ignore_index_and_class_weights_are_of_all_tokens():
    """(sum, count) in microbatches of 3 is what one batch of 20 gives."""
    x = torch.randn(40, 5, 13, generator=torch.Generator().manual_seed(3))
    y = torch.randint(0, 3, (40, 5), generator=torch.Generator().manual_seed(4))
    y[torch.rand(40, 5, generator=torch.Generator().manual_seed(5)) < 0.6] = -100
    weight = torch.tensor([1.0, 2.0, 0.5])

    def loss(model, batch):
        logits, labels = model(batch[0]).flatten(0, 1), batch[1].flatten()
        total = functional.cross_entropy(logits, labels, weight, ignore_index=-100, reduction="sum")
        return total, weight[labels[labels != -100]].sum()

    whole, parts = jobs.plain(), jobs.plain()
    one = trainer(whole, loss=loss, data=TensorDataset(x, y)).fit(steps=6)
    other = trainer(parts, loss=loss, data=TensorDataset(x, y), microbatch=3).fit(steps=6)
    assert torch.allclose(torch.tensor(one.losses), torch.tensor(other.losses), atol=1e-6)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def whole_sum(model, batch):
    """As pytorch/examples/vae has it: reduction="sum"."""
    return functional.cross_entropy(model(batch[0]), batch[1], reduction="sum")


@pytest.mark.parametrize(
    ("loss", "batch", "microbatch", "is_told"),
    [
        (whole_sum, 40, 20, True),
        (whole_sum, 40, None, False),  # never cut: a sum is what the user means
        (lambda model, batch: (whole_sum(model, batch), len(batch[0])), 40, 20, False),
        (jobs.mean, 40, 20, False),
    ],
)
def test_a_sum_that_is_taken_for_a_mean_is_told(loss, batch, microbatch, is_told, caplog):
    trainer(loss=loss, batch=batch, microbatch=microbatch).fit(steps=2)
    assert ("looks like a sum" in caplog.text) == is_told
    assert "return (sum, count), or the mean" in caplog.text or not is_told


def test_bf16_learns_and_keeps_its_parameters_in_float32():
    model = jobs.plain()
    report = trainer(model, precision="bf16").fit(epochs=20)
    assert report.losses[-1] < 0.6 * report.losses[0]
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_sparse_embedding_alone():
    model = nn.Sequential(nn.Embedding(20, 4, sparse=True), nn.Flatten(), nn.Linear(8, 3))
    ids = torch.randint(0, 20, (30, 2), generator=torch.Generator().manual_seed(0))
    report = trainer(
        model,
        torch.optim.SGD(model.parameters(), lr=0.5),
        data=TensorDataset(ids, ids.sum(1) % 3),
        batch=30,
        microbatch=7,
        clip=5.0,
    ).fit(steps=60)
    assert report.loss < 0.7 * report.losses[0]


def test_one_sample_and_a_batch_larger_than_the_dataset():
    """Positions run on over epochs, so a batch of 5 takes the one sample five times."""
    report = trainer(data=[(torch.ones(13), 1)], batch=5).fit(steps=30)
    assert report.loss < 0.1
    assert report.epochs == 150
    assert trainer(data=jobs.data(7), batch=20).fit(epochs=1).samples == 7


def test_the_last_step_of_an_epoch_is_smaller():
    sizes = []
    trainer(
        batch=25, microbatch=25,
        callbacks=lambda e: sizes.append(e.figures["samples"]) if e.kind == "step" else None,
    ).fit(epochs=1)  # fmt: skip
    assert sizes == [25, 25, 10]


def test_random_numbers_are_of_the_seed_and_the_callers_stay():
    """Augmentation by torch's generator: the same losses again; the caller's numbers untouched."""

    class Noisy(TensorDataset):
        def __getitem__(self, number):
            x, y = super().__getitem__(number)
            return x + torch.randn(13), y

    data = Noisy(*jobs.data().tensors)
    torch.manual_seed(42)
    wanted = torch.rand(3)
    torch.manual_seed(42)
    one = trainer(jobs.noisy(), data=data)
    torch.manual_seed(42)
    first = one.fit(steps=5).losses
    assert torch.equal(torch.rand(3), wanted)
    assert trainer(jobs.noisy(), data=data).fit(steps=5).losses == first
    workers = DataLoader(data, batch_size=20, shuffle=True, num_workers=2)
    assert trainer(jobs.noisy(), data=workers).fit(steps=5).losses == first
    assert trainer(jobs.noisy(), data=data, seed=1).fit(steps=5).losses != first


def test_early_stop_and_a_callback_that_stops():
    report = trainer(
        optimizer=None, evaluate=Evaluation(data=jobs.data(20, seed=5), every=1),
        early_stop=EarlyStop(patience=2, least=10.0),
    ).fit(steps=50)  # fmt: skip
    assert (report.stopped, report.steps) == ("early stop", 3)
    made = trainer(callbacks=lambda event: made.stop() if event.step == 4 else None)
    report = made.fit(steps=50)
    assert (report.stopped, report.steps) == ("a callback", 5)


class Stream(IterableDataset):
    def __iter__(self):
        yield from jobs.data()


class Shrinks(TensorDataset):
    """Loses samples while it is read."""

    reads = 0

    def __len__(self):
        return 60 if self.reads < 50 else 30

    def __getitem__(self, number):
        self.reads += 1
        return super().__getitem__(number)


MODEL = jobs.plain()
OTHER = jobs.plain()
SGD = torch.optim.SGD(MODEL.parameters(), lr=0.1)
OF_OTHER = torch.optim.SGD(OTHER.parameters(), lr=0.1)
STEP = torch.optim.lr_scheduler.StepLR


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"model": "net", "optimizer": SGD}, "the model is a str"),
        ({"model": nn.DataParallel(jobs.plain())}, "wrapped in DataParallel"),
        ({"model": nn.ReLU(), "optimizer": SGD}, "no parameter that is trained"),
        ({"model": nn.LazyLinear(3), "optimizer": SGD}, "has no values yet"),
        ({"optimizer": torch.optim.SGD}, "SGD is no optimizer -> give it made"),
        ({"model": MODEL, "optimizer": STEP(SGD, 3)}, "this one as scheduler="),
        ({"model": MODEL, "optimizer": OF_OTHER}, "none of the model's .4 of 4 are not"),
        ({"model": MODEL, "optimizer": torch.optim.LBFGS(MODEL.parameters())}, "LBFGS"),
        ({"model": MODEL, "optimizer": SGD, "scheduler": STEP(OF_OTHER, 3)}, "another optimizer"),
        ({"scheduler": 0.1}, "the scheduler is a float"),
        ({"scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau}, "nothing is evaluated"),
        ({"loss": nn.CrossEntropyLoss()}, "torch's CrossEntropyLoss, which takes outputs and"),
        ({"loss": functional.cross_entropy}, "torch's cross_entropy"),
        ({"loss": None}, "the loss is a NoneType"),
        ({"data": Stream()}, "Stream is only iterable.*list.dataset"),
        ({"data": DataLoader(Stream())}, "only iterable"),
        ({"data": iter([])}, "only iterable"),
        ({"data": {"x": 1}}, "a dict is no dataset"),
        ({"data": (torch.ones(5, 13), torch.ones(5))}, "a tuple of 2 tensors .*TensorDataset"),
        ({"data": []}, "data has no samples"),
        (
            {"data": DataLoader(jobs.data(), sampler=WeightedRandomSampler([1.0] * 60, 60))},
            "its sampler WeightedRandomSampler would be lost",
        ),
        ({"data": DataLoader(jobs.data(), batch_size=None)}, "without batches"),
        ({"batch": None}, "no batch"),
        ({"batch": 0}, "batch is 0"),
        ({"batch": True}, "batch is True"),
        ({"microbatch": 2.5}, "microbatch is 2.5"),
        ({"balance": True}, "balance gives ranks more or fewer microbatches"),
        ({"clip": 0}, "clip is 0"),
        ({"precision": "fp16"}, "fp16 needs a scaler"),
        ({"compress": 2}, "compress is 2"),
        ({"compress": 0.01, "clip": 1.0}, "clip needs the norm of the whole gradient"),
        (
            {"model": MODEL, "optimizer": torch.optim.Adam(MODEL.parameters()), "compress": 0.1},
            "takes the place of torch.optim.SGD, and this is Adam",
        ),
        (
            {
                "model": MODEL,
                "optimizer": torch.optim.SGD(
                    MODEL.parameters(), lr=0.1, momentum=0.9, nesterov=True
                ),
                "compress": 0.1,
            },
            "nesterov",
        ),
        ({"early_stop": 3}, "early_stop is 3"),
        ({"early_stop": EarlyStop(metric="right"), "evaluate": jobs.data()}, "looks at 'right'"),
        ({"early_stop": EarlyStop()}, "nothing is evaluated"),
        ({"save_every": 5}, "nothing says where"),
        ({"seed": -1}, "seed is -1"),
        ({"callbacks": ["print"]}, "a callback is a str"),
    ],
)
def test_what_can_not_be_is_told_before_anything_is_trained(options, text):
    with pytest.raises((errors.ConfigError, errors.InputError), match=text):
        trainer(**options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"loss": lambda m, b: m(b[0])}, r"shape \[20, 3\]"),
        ({"loss": lambda m, b: {"loss": jobs.mean(m, b)}}, "a dict, not a tensor -> return its"),
        ({"loss": lambda m, b: jobs.mean(m, b).item()}, "a float, not a tensor"),
        ({"loss": lambda m, b: jobs.mean(m, b).detach()}, "does not hang on any parameter"),
        ({"loss": lambda m, b: (jobs.mean(m, b), -1)}, "gave -1 as its count"),
        ({"loss": lambda m, b: (jobs.mean(m, b), 0)}, "went over no item at step 0"),
        ({"loss": lambda m, b: b[1].sum()}, "is of torch.int64"),
        ({"data": Shrinks(*jobs.data().tensors)}, "has 30 samples now, and had 60"),
    ],
)
def test_what_shows_in_a_step_is_told_there(options, text):
    with pytest.raises(errors.InputError, match=text):
        trainer(**options).fit(epochs=3)


def test_fit_wants_one_of_steps_and_epochs():
    for wrong in ({}, {"steps": 1, "epochs": 1}, {"steps": 0}, {"epochs": 1.5}):
        with pytest.raises(errors.ConfigError, match=r"steps|epochs"):
            trainer().fit(**wrong)


def test_figures_of_a_report_are_json():
    import json

    report = trainer(evaluate=jobs.data()).fit(epochs=2)
    facts = json.loads(json.dumps(report.facts()))
    assert facts["stopped"] == "epochs"
    assert facts["saved"] == 0
    assert math.isclose(facts["loss"], report.losses[-1])
