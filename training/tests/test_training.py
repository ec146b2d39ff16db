# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training: augmentation, resuming after a kill, and the way from checkpoint to ONNX."""

import csv
import json
import math
import shutil
import tempfile

import h5py
import numpy as np
import onnx
import pytest
import torch
from gnuradio.kdamc import contract
from kdamc_training import evaluate, export, recipe, training
from kdamc_training.calibration import Calibration
from kdamc_training.datasets.dataset_file import DataSetFile, training_split
from kdamc_training.errors import UserError
from kdamc_training.lightning_module import (
    add_noise,
    augment,
    limit,
    mirror_images,
    raise_noise,
)
from kdamc_training.networks import registry as networks
from kdamc_training.onnx_models import open_model
from kdamc_training.training_data import EpochSampler, Frames, Part, thinned
from lightning.pytorch.callbacks import Callback

OVERRIDES = [
    "train.epochs=3",
    "train.batch_size=64",
    "train.learning_rate=0.01",
    "train.warmup_epochs=0.5",
    "members.student.options={kernels: [5, 3], strides: [2, 2], widths: [8, 8]}",
]
AVERAGED = ["train.ema_decay=0.9"]
NOTHING = {"rotation": False, "conjugation": False, "carrier_offset": 0.0, "receiver_filter": 0.0}


def toy_recipe(*changes):
    return recipe.load(recipe.find("plain/rml2016.10a"), "smoke", [*OVERRIDES, *AVERAGED, *changes])


def toy_job(path, *changes, member="student", **settings):
    """A job on the toy file with 400 frames held out."""
    with DataSetFile(path) as data:
        kept, held = training_split(data, 0.14, 0)
    parts = Part(path, kept), Part(path, held)
    return training.Job(toy_recipe(*changes), member, 0, *parts, "made by a test", **settings)


def noise(n=64, length=128):
    frames = torch.randn(n, 2, length, generator=torch.Generator().manual_seed(1))
    return frames / frames.square().sum(dim=1).mean(dim=1).sqrt()[:, None, None]


def augmented(frames, **changes):
    return augmented_and_mirrored(frames, **changes)[0]


def augmented_and_mirrored(frames, **changes):
    return augment(frames, torch.Generator().manual_seed(2), **{**NOTHING, **changes})


def test_what_is_conjugated_or_reversed_is_mirrored():
    frames = noise(3000, 4)
    after, mirrored = augmented_and_mirrored(frames, conjugation=True, reversal=True)
    flipped = frames.flip(2)
    for expected, turned in (
        (frames, False),
        (flipped, True),
        (frames * torch.tensor([1.0, -1.0])[:, None], True),
        (flipped * torch.tensor([1.0, -1.0])[:, None], False),
    ):
        are = (after == expected).all(dim=(1, 2))
        assert 600 < are.sum() < 900
        assert (mirrored[are] == turned).all()


def test_noise_lowers_the_snr_by_what_is_told():
    """A tone at 20 dB and one at 0 dB: what is left beside the tone is the noise."""
    length, n = 512, 400
    tone = torch.polar(torch.ones(length), 0.3 * torch.arange(length))
    snr = torch.tensor([20.0, 0.0]).repeat(n // 2)
    power = 1 / (1 + 10 ** (snr / 10))
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(n, 2, length, generator=generator) * (power / 2).sqrt()[:, None, None]
    clean = torch.stack([tone.real, tone.imag])
    iq = clean * (1 - power).sqrt()[:, None, None] + noise
    after, told, share = add_noise(iq, snr, power, generator, 0.7)
    signal = torch.complex(after[:, 0], after[:, 1])
    amplitude = (signal * tone.conj()).mean(dim=1)
    left = signal - amplitude[:, None] * tone
    measured = 10 * torch.log10(amplitude.abs() ** 2 / left.abs().square().mean(dim=1))
    error = (measured - told).abs()
    assert error.mean() < 0.4 and error[told > 0].max() < 1.2
    torch.testing.assert_close(after.square().sum(dim=1).mean(dim=1), torch.ones(n))
    assert 0.2 < (told == snr).float().mean() < 0.4
    torch.testing.assert_close(share, 1 / (1 + 10 ** (told / 10)))
    assert told[::2].min() < -8 and told[::2].max() == 20 and (told >= -10).all()


def test_limiting_makes_envelopes_flatter_and_keeps_phases():
    frames = noise(400, 256)
    after = limit(frames, torch.Generator().manual_seed(3), 0.5, 2.5)
    before, limited = (torch.complex(x[:, 0], x[:, 1]) for x in (frames, after))
    torch.testing.assert_close(limited.angle(), before.angle(), atol=1e-4, rtol=0)
    torch.testing.assert_close(limited.abs().square().mean(dim=1), torch.ones(400))
    changed = (after - frames).abs().amax(dim=(1, 2)) > 1e-4
    assert 160 < changed.sum() < 240
    peak = limited.abs().amax(dim=1) / before.abs().amax(dim=1)
    assert (peak[changed] < 1).all() and peak.min() < 0.6
    # It stays monotonic: what was larger is larger.
    order = before[changed].abs().argsort(dim=1)
    assert (limited[changed].abs().gather(1, order).diff(dim=1) > -1e-5).all()


def test_noise_is_given_where_the_snr_is_known_only():
    iq = noise(4, 32)
    snr = torch.tensor([float("nan"), 10.0, -12.0, 10.0])
    power = torch.tensor([float("nan"), float("nan"), 0.9, 0.1])
    after, told, _ = add_noise(iq, snr, power, torch.Generator().manual_seed(1), 1.0)
    torch.testing.assert_close(after[:3], iq[:3])
    torch.testing.assert_close(told[:3], snr[:3], equal_nan=True)
    assert told[3] < 10 and not torch.equal(after[3], iq[3])


def test_noise_rises_by_any_of_the_range():
    """Of a tone with a thousandth of noise: what is left beside the tone tells the rise."""
    length, n = 512, 400
    tone = torch.polar(torch.ones(length), 0.3 * torch.arange(length))
    generator = torch.Generator().manual_seed(7)
    clean = torch.stack([tone.real, tone.imag]) * 0.999**0.5
    iq = clean + torch.randn(n, 2, length, generator=generator) * 0.0005**0.5
    after, told = raise_noise(iq, torch.full((n,), 0.001), generator, 30.0)
    torch.testing.assert_close(after.square().sum(dim=1).mean(dim=1), torch.ones(n))
    signal = torch.complex(after[:, 0], after[:, 1])
    amplitude = (signal * tone.conj()).mean(dim=1)
    left = (signal - amplitude[:, None] * tone).abs().square().mean(dim=1)
    rise = 10 * torch.log10(left / amplitude.abs() ** 2) + 30
    assert (rise - told).abs().mean() < 0.4
    assert -0.8 < rise.min() < 1.5 and 28.5 < rise.max() < 30.8
    torch.testing.assert_close(
        torch.histc(rise, 4, 0, 30), torch.full((4,), 100.0), atol=30, rtol=0
    )


def test_noise_does_not_rise_where_its_share_is_unknown():
    iq = noise(2, 32)
    power = torch.tensor([float("nan"), 0.1])
    after, told = raise_noise(iq, power, torch.Generator().manual_seed(1), 10.0)
    torch.testing.assert_close(after[0], iq[0])
    assert not torch.equal(after[1], iq[1])
    assert told[0] == 0 < told[1]


def test_mirrored_sidebands_are_each_other():
    assert mirror_images(("BPSK", "USB", "LSB")).tolist() == [0, 2, 1]


def test_a_sideband_without_its_other_keeps_its_name():
    assert mirror_images(("USB", "FM")).tolist() == [0, 1]


def test_no_augmentation_changes_nothing():
    torch.testing.assert_close(augmented(noise()), noise())


def test_rotation_turns_all_samples_of_a_frame_alike():
    before, after = (
        torch.complex(x[:, 0], x[:, 1]) for x in (noise(), augmented(noise(), rotation=True))
    )
    turn = after / before
    torch.testing.assert_close(turn, turn[:, :1].expand_as(turn), atol=1e-3, rtol=1e-3)
    assert turn[:, 0].angle().std() > 1.0


def test_conjugation_mirrors_half_of_the_frames():
    after = augmented(noise(2000, 4), conjugation=True)
    kept = (after[:, 1] == noise(2000, 4)[:, 1]).all(dim=1)
    torch.testing.assert_close(after[~kept][:, 1], -noise(2000, 4)[~kept][:, 1])
    assert 900 < int(kept.sum()) < 1100


def test_carrier_offset_stays_within_its_range():
    steady = torch.tensor([1.0, 0.0])[None, :, None].expand(200, 2, 128)
    after = augmented(steady, carrier_offset=0.01)
    signal = torch.complex(after[:, 0], after[:, 1])
    step = (signal[:, 1:] * signal[:, :-1].conj()).angle() / (2 * math.pi)
    assert step.abs().max() <= 0.0101
    assert step.abs().max() > 0.008


def test_the_receiver_filter_takes_high_frequencies_and_keeps_rms():
    after = augmented(noise(500), receiver_filter=0.5)
    torch.testing.assert_close(
        after.square().sum(dim=1).mean(dim=1), torch.ones(500), rtol=1e-4, atol=1e-4
    )
    spectrum = torch.fft.fft(torch.complex(after[:, 0], after[:, 1])).abs().square()
    top = spectrum[:, 60:68].sum(dim=1) / spectrum.sum(dim=1)
    assert 0.35 < (top < 0.01).float().mean() < 0.6


class Kill(Callback):
    """Ends a run as a kill would: after the first steps of the given epoch."""

    def __init__(self, epoch=1):
        self.epoch = epoch

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if trainer.current_epoch == self.epoch and index == 2:
            raise KeyboardInterrupt


PLATEAU = [
    "train.schedule=plateau",
    "train.warmup_epochs=0",
    "train.plateau_patience=1",
    "train.plateau_factor=0.01",
    "train.ema_decay=0",
    "train.keep=best",
    "train.early_stopping=2",
    "train.epochs=8",
    "train.learning_rate=0.1",
]
DISTILLED = [
    "members={teacher: {network: plain_conv}, student: {network: dropping, teacher: teacher, "
    "loss: [{name: cross_entropy}, {name: response, weight: 0.5, options: {temperature: 4}}]}}",
]


@networks.register("dropping")
class Dropping(torch.nn.Module):
    """A network whose training draws from the global generator."""

    def __init__(self, *, classes, frame_length):
        super().__init__()
        self.body = networks.create("plain_conv", classes=classes, frame_length=frame_length)
        self.dropout = torch.nn.Dropout(0.3)

    def forward(self, iq):
        return self.body(self.dropout(iq))


class Contrary(torch.nn.Module):
    """Tells the toy's classes by how samples go with the one before, and names each wrongly."""

    def forward(self, iq):
        step = (iq[:, :, 1:] * iq[:, :, :-1]).sum(dim=1).mean(dim=1, keepdim=True)
        # Noise goes by none, the high tone by some, the low one by all: it calls them 0, 1, 2.
        return -40 * (step - torch.tensor([0.0, 0.2, 0.8])).square()


def teacher_of(path):
    with DataSetFile(path) as data:
        length, count = data.frame_length, len(data.info.classes)
    torch.manual_seed(5)
    return networks.create("plain_conv", classes=count, frame_length=length)


@pytest.mark.parametrize(
    ("changes", "taught", "epoch"),
    [([], False, 1), (PLATEAU, False, 4), (DISTILLED, True, 1)],
    ids=["cosine and averaging", "plateau, early stopping and best weights", "distilled"],
)
def test_a_killed_run_goes_on_to_the_same_result(toy_file, tmp_path, changes, taught, epoch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"

    def fit(folder, *callbacks):
        folder.mkdir(exist_ok=True)
        teacher = teacher_of(toy_file) if taught else None
        return training.fit(toy_job(toy_file, *changes, teacher=teacher), folder, callbacks)

    expected = torch.load(fit(whole), weights_only=False)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(parts, Kill(epoch))
    assert (parts / training.LAST_CHECKPOINT).is_file()
    assert not (parts / training.FINISHED).is_file()
    resumed = torch.load(fit(parts), weights_only=False)
    assert resumed["epoch"] == expected["epoch"]
    for name, value in expected["state_dict"].items():
        torch.testing.assert_close(resumed["state_dict"][name], value, rtol=0, atol=0)
    ends = [
        torch.load(folder / training.LAST_CHECKPOINT, weights_only=False)["epoch"]
        for folder in (whole, parts)
    ]
    assert ends[0] == ends[1]
    rows = []
    for folder in (whole, parts):
        with (folder / training.METRICS).open() as file:
            rows.append(list(csv.DictReader(file)))
    assert rows[0] == rows[1] and len(rows[0]) == 2 * (ends[0] + 1)
    # A third start changes nothing.
    before = (parts / training.LAST_CHECKPOINT).stat().st_mtime_ns
    fit(parts)
    assert (parts / training.LAST_CHECKPOINT).stat().st_mtime_ns == before


class Spoil(Callback):
    """Makes the network worse from the second epoch on."""

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if trainer.current_epoch > 0:
            for parameter in module.parameters():
                parameter.data.zero_()


def test_a_run_that_was_moved_keeps_its_best_epoch(toy_file, tmp_path):
    job = toy_job(toy_file, "train.ema_decay=0", "train.keep=best", "train.epochs=3")
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        training.fit(job, run, [Spoil(), Kill()])
    moved = run.rename(tmp_path / "moved")
    best = training.fit(job, moved, [Spoil()])
    assert torch.load(best, weights_only=False)["epoch"] == 0
    assert best.parent == moved and not run.exists()


def test_a_run_that_was_stopped_early_and_killed_then_trains_no_more(toy_file, tmp_path):
    job = toy_job(toy_file, *PLATEAU, "train.epochs=40")
    training.fit(job, tmp_path)
    before = torch.load(tmp_path / training.LAST_CHECKPOINT, weights_only=False)
    assert before["epoch"] + 1 < 40
    (tmp_path / training.FINISHED).unlink()
    training.fit(job, tmp_path)
    after = torch.load(tmp_path / training.LAST_CHECKPOINT, weights_only=False)
    assert (after["epoch"], after["global_step"]) == (before["epoch"], before["global_step"])
    assert (tmp_path / training.FINISHED).is_file()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_damaged_checkpoint_is_named(toy_file, tmp_path, content):
    job = toy_job(toy_file, "train.epochs=1")
    training.fit(job, tmp_path)
    last = tmp_path / training.LAST_CHECKPOINT
    last.write_bytes(last.read_bytes()[:2000] if content is None else content)
    (tmp_path / training.FINISHED).unlink()
    with pytest.raises(UserError, match=f"{last}: is damaged; remove it"):
        training.fit(job, tmp_path)


def test_checkpoints_are_written_beside_their_place(toy_file, tmp_path, monkeypatch):
    """A move from another disk is not whole at all times, a rename is."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    run = tmp_path / "run"
    run.mkdir()
    (run / ".last.ckpt.1.part").write_bytes(b"left by a kill")
    training.fit(toy_job(toy_file, "train.epochs=1"), run)
    assert (run / training.LAST_CHECKPOINT).is_file()
    assert not list(run.glob(".*.part"))


def test_the_plateau_lowers_the_rate_and_early_stopping_ends_the_run(toy_file, tmp_path):
    training.fit(toy_job(toy_file, *PLATEAU, "train.epochs=40"), tmp_path)
    last = torch.load(tmp_path / training.LAST_CHECKPOINT, weights_only=False)
    assert last["epoch"] + 1 < 40
    assert last["optimizer_states"][0]["param_groups"][0]["lr"] < 0.1
    with (tmp_path / "metrics.csv").open() as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file) if row["val_loss"]]
    best = torch.load(tmp_path / training.BEST_CHECKPOINT, weights_only=False)["epoch"]
    assert best == int(np.argmin(losses))
    assert len(losses) == best + 1 + 2
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_the_plateau_halves_the_rate_after_so_many_epochs_without_gain(toy_file, tmp_path):
    """As papers that trained with Keras count, which reduces at the end of the last of them."""
    changes = ["train.learning_rate=0.1", "train.plateau_patience=3", "train.plateau_factor=0.5"]
    job = toy_job(toy_file, *PLATEAU, *changes, "train.early_stopping=0")
    module = training._module(job, job.recipe.train_of(job.member), Frames(job.training))
    schedule = module.configure_optimizers()["lr_scheduler"]["scheduler"]
    rates = []
    for loss in (1.0, 0.9, 0.9, 0.95, 0.9, 0.9, 0.9, 0.9, 0.89999):
        schedule.step(loss)
        rates.append(schedule.get_last_lr()[0])
    assert rates == pytest.approx([0.1] * 4 + [0.05] * 3 + [0.025] * 2)


def test_a_distilled_student_learns_from_its_teacher_alone(toy_file, tmp_path):
    """With no other term a student comes to say what its teacher says."""
    changes = [
        "members={teacher: {network: plain_conv}, student: {network: plain_conv, "
        "teacher: teacher, loss: [{name: response, options: {temperature: 2}}]}}",
        "augment={}",
        "train.ema_decay=0",
        "train.epochs=8",
    ]
    teacher = Contrary()
    cache = tmp_path / "shows"
    job = toy_job(toy_file, *changes, teacher=teacher, teacher_cache=cache)
    student = export.load_checkpoint(training.fit(job, tmp_path))
    frames, label, _ = Frames(job.validation)[torch.arange(len(job.validation))]
    with torch.no_grad():
        says, said = student(frames).argmax(dim=1), teacher(frames).argmax(dim=1)
    assert (said == label).float().mean() < 0.5
    assert (says == said).float().mean() > 0.8
    assert np.load(cache / "logits.npy").shape == (len(job.training), 3)


def test_terms_count_by_their_weights(toy_file, tmp_path):
    changes = [
        "members={teacher: {network: plain_conv}, student: {network: plain_conv, teacher: teacher, "
        "loss: [{name: cross_entropy, weight: 0.25}, {name: response, weight: 30}]}}",
        "train.epochs=1",
    ]
    training.fit(toy_job(toy_file, *changes, teacher=Contrary()), tmp_path)
    with (tmp_path / training.METRICS).open() as file:
        (row,) = (row for row in csv.DictReader(file) if row["train_loss"])
    loss, hard, soft = (
        float(row[f"train_{name}"]) for name in ("loss", "cross_entropy", "response")
    )
    assert loss == pytest.approx(0.25 * hard + 30 * soft, rel=1e-5)
    assert min(hard, soft) > 0.01


def test_frames_streamed_from_the_file_are_those_in_memory(toy_file, tmp_path):
    with DataSetFile(toy_file) as data:
        x = data.x[:]
    chunked = tmp_path / "chunked.h5"
    shutil.copyfile(toy_file, chunked)
    with h5py.File(chunked, "a") as file:
        del file["X"]
        file.create_dataset("X", data=x, chunks=(7, 2, 32))
    index = torch.from_numpy(np.random.default_rng(1).permutation(900))
    for path in (toy_file, chunked):
        part = Part(path, np.arange(5, 2000, 2)[:900])
        held, streamed = Frames(part)[index], Frames(part, limit=0)[index]
        for one, other in zip(held, streamed, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_share_of_the_frames_is_taken_from_every_cell(toy_file):
    whole = Part(toy_file, np.arange(2880))
    few = thinned(whole, 0.05, 0)
    y, z = few.labels()
    counts = np.unique(y * 100 + z, return_counts=True)[1]
    assert len(few) == 144 and (counts == 24).all()
    assert thinned(whole, 1.0, 0) is whole
    with pytest.raises(UserError, match=r"share of 0\.0001 of 6 training frames is none"):
        thinned(Part(toy_file, np.arange(6)), 1e-4, 0)


def test_two_processes_train_together(toy_file, tmp_path):
    job = toy_job(toy_file, "train.devices=2", "train.ema_decay=0")
    module = export.load_checkpoint(training.fit(job, tmp_path))
    state = torch.load(tmp_path / training.LAST_CHECKPOINT, weights_only=False)
    # As many steps as one process takes, each on half of a batch.
    assert state["global_step"] == 3 * (len(job.training) // 64)
    frames, labels, _ = Frames(job.validation)[torch.arange(len(job.validation))]
    with torch.no_grad():
        assert (module(frames).argmax(dim=1) == labels).float().mean() > 0.8


def test_every_frame_is_dealt_to_one_process():
    samplers = [EpochSampler(1000, 100, 3, rank, 2) for rank in range(2)]
    dealt = torch.cat([torch.cat(list(sampler)) for sampler in samplers])
    assert sorted(dealt.tolist()) == list(range(1000))


@pytest.fixture
def trained(toy_file, tmp_path):
    return export.load_checkpoint(training.fit(toy_job(toy_file), tmp_path))


def test_from_checkpoint_to_a_measured_model(trained, toy_file, tmp_path):
    path = tmp_path / "toy.onnx"
    calibration = Calibration(1.25, 0.5, "a test", 0.25, 0.1)
    export.export(trained, path, calibration, {"overall": 0.5, "by_snr": {"0": 0.5}})

    graph = onnx.load(str(path))
    assert {node.op_type for node in graph.graph.node}.isdisjoint({"BatchNormalization"})
    assert max(entry.version for entry in graph.opset_import) <= contract.MAX_OPSET
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    assert set(contract.REQUIRED_KEYS) <= set(metadata)
    assert json.loads(metadata[contract.KEY_CLASSES]) == ["low", "high", "noise"]
    assert json.loads(metadata[contract.KEY_SAMPLES_PER_SYMBOL]) == [4.0, 4.0]
    assert metadata[contract.KEY_GENERATOR_CMD] == "made by a test"

    model = open_model(str(path))
    assert model.info.temperature == 1.25 and model.info.fusion == contract.Fusion(0.5, 0.25, 0.1)
    for n in (1, 7):
        frames = noise(n, 32)
        with torch.no_grad():
            expected = trained(frames).numpy()
        got = model.run(frames.numpy()).logits
        assert np.max(np.abs(got - expected)) < 1e-3
        np.testing.assert_array_equal(got.argmax(axis=1), expected.argmax(axis=1))

    record = evaluate.evaluate(model, toy_file)
    assert record["frames"] == 2880 == int(np.sum(record["confusion"]))
    assert record["overall"] > 0.8
    assert set(record["by_snr"]) == {"0", "10"}
    assert int(np.sum(record["confusion_from_0_db"])) == 2880
    runs = evaluate.evaluate_runs(model, toy_file)["decisions"]
    assert runs["4"]["decisions"] == 720 and "64" not in runs
    assert runs["4"]["accuracy"] >= record["overall"]


def test_a_failed_export_leaves_nothing(trained, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        export.export(trained, tmp_path / "none" / "toy.onnx")
    assert not list(tmp_path.glob("**/*.onnx*"))


def test_what_is_no_checkpoint_is_refused(toy_file, tmp_path):
    with pytest.raises(UserError, match="not a checkpoint"):
        export.load_checkpoint(toy_file)
    with pytest.raises(UserError, match="no such file"):
        export.load_checkpoint(tmp_path / "none.ckpt")


def test_classes_of_model_and_data_must_agree(trained, tmp_path):
    from kdamc_training.datasets.dataset_file import DataSetInfo, DataSetWriter

    export.export(trained, tmp_path / "toy.onnx")
    other = DataSetInfo(("low", "noise"), 1e3, (4.0, 4.0), "toy 1", 1, "2026-01-01")
    with DataSetWriter(tmp_path / "other.h5", other, 1, 32) as writer:
        writer.append(np.ones((1, 2, 32), np.float32), np.zeros(1), np.zeros(1), np.zeros(1))
    with pytest.raises(UserError, match="low, high, noise"):
        evaluate.evaluate(open_model(str(tmp_path / "toy.onnx")), tmp_path / "other.h5")


def test_a_frame_of_a_file_to_measure_on_is_named(trained, toy_file, tmp_path):
    export.export(trained, tmp_path / "toy.onnx")
    with h5py.File(toy_file, "r+") as file:
        file["X"][5] = 0.0
    with pytest.raises(UserError, match=r"toy\.h5: frame 5, "):
        evaluate.evaluate(open_model(str(tmp_path / "toy.onnx")), toy_file)
