# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one training module: a network, the terms of its loss, augmentation and schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from . import distillation as distillation
from . import networks as networks
from . import strangers
from .compression import qat
from .distillation import registry as losses
from .distillation.outlier_exposure import NO_CLASS
from .errors import UserError
from .networks import registry
from .networks.outputs import Outputs, check_outputs, outputs_of
from .teacher_cache import TeacherCache

# Cutoff and width of the edge in cycles a sample; the signals' half bandwidth is 0.084.
_CUTOFFS = (0.1, 0.5)
_TRANSITION = 0.04

_LEAST_DRIVE = 0.25
"""Of a limiter whose output saturates at 1 over the drive, with frames of RMS 1."""

_LOWEST_SNR = -10.0
"""Where the live set begins, dB: no frame is given so much noise that it falls below."""

_STRANGE_FROM_DB = 5.0

_MIRROR_IMAGES = {"USB": "LSB", "LSB": "USB"}
"""What changes its name when the spectrum is mirrored; every other class keeps its own."""


def augment(
    iq: Tensor,
    generator: torch.Generator,
    *,
    rotation: bool,
    conjugation: bool,
    carrier_offset: float,
    receiver_filter: float,
    reversal: bool = False,
) -> tuple[Tensor, Tensor]:
    """Turn, mirror, reverse, shift and filter frames ``(n, 2, L)`` of RMS 1; RMS stays 1.

    Per frame: a phase from [0, 2 pi), conjugation with probability 1/2, reversal in time with 1/2,
    an offset from ``±carrier_offset`` cycles a sample, and with probability ``receiver_filter`` a
    low-pass as of a receiver narrower than the sampled band. Beside the frames comes back
    ``(n)`` bool, whose spectra are mirrored: conjugated or reversed, not both.
    """
    mirrored = torch.zeros(len(iq), dtype=torch.bool, device=iq.device)
    if not (rotation or conjugation or carrier_offset > 0.0 or receiver_filter > 0.0 or reversal):
        return iq, mirrored
    n, _, length = iq.shape
    device = iq.device
    signal = torch.complex(iq[:, 0], iq[:, 1])
    if conjugation:
        conjugated = torch.rand(n, 1, generator=generator, device=device) < 0.5
        signal = torch.where(conjugated, signal.conj(), signal)
        mirrored = conjugated[:, 0]
    if reversal:
        reversed_ = torch.rand(n, 1, generator=generator, device=device) < 0.5
        signal = torch.where(reversed_, signal.flip(1), signal)
        mirrored = mirrored ^ reversed_[:, 0]
    phase = torch.zeros(n, 1, device=device)
    if rotation:
        phase = 2 * math.pi * torch.rand(n, 1, generator=generator, device=device)
    if carrier_offset > 0.0:
        offset = carrier_offset * (2 * torch.rand(n, 1, generator=generator, device=device) - 1)
        phase = phase + 2 * math.pi * offset * torch.arange(length, device=device)
    signal = signal * torch.polar(torch.ones_like(phase), phase)
    if receiver_filter > 0.0:
        signal = _filtered(signal, generator, receiver_filter)
    return torch.stack([signal.real, signal.imag], dim=1), mirrored


def add_noise(
    iq: Tensor, snr_db: Tensor, noise_power: Tensor, generator: torch.Generator, share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Give a ``share`` of frames ``(n, 2, L)`` of RMS 1 more white noise; RMS stays 1.

    ``snr_db (n)`` float32, and ``noise_power (n)``, which share of a frame is noise; frames where
    either is NaN are left alone. Each chosen frame's SNR becomes any between its own and -10 dB
    (those below stay). Comes back with the new SNRs and shares of noise.
    """
    n = len(iq)
    device = iq.device
    chosen = torch.rand(n, generator=generator, device=device) < share
    drop = torch.rand(n, generator=generator, device=device) * (snr_db - _LOWEST_SNR)
    drop = torch.where(chosen & torch.isfinite(noise_power), drop, 0.0).nan_to_num().clamp_min(0.0)
    iq, noise_power = _noisier(iq, noise_power, drop, generator)
    return iq, snr_db - drop, noise_power


def raise_noise(
    iq: Tensor, noise_power: Tensor, generator: torch.Generator, most_db: float
) -> tuple[Tensor, Tensor]:
    """Make the noise in frames ``(n, 2, L)`` of RMS 1 stronger, each by any of 0 to ``most_db`` dB;
    RMS stays 1.

    ``noise_power (n)``, which share of a frame is noise; frames where it is NaN are left alone.
    Comes back with by how much the SNRs fell, ``(n)`` dB.
    """
    rise = most_db * torch.rand(len(iq), generator=generator, device=iq.device)
    rise = torch.where(torch.isfinite(noise_power), rise, 0.0)
    return _noisier(iq, noise_power, rise, generator)[0], rise


def _noisier(
    iq: Tensor, noise_power: Tensor, rise_db: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Frames of RMS 1 whose noise is stronger by ``rise_db (n)``; their new shares of noise."""
    more = noise_power.nan_to_num() * (10.0 ** (rise_db / 10.0) - 1.0)
    noise = torch.randn(iq.shape, generator=generator, device=iq.device)
    noisy = iq + (more / 2.0).sqrt()[:, None, None] * noise
    rms = noisy.square().sum(dim=1).mean(dim=1).sqrt()
    return noisy / rms.clamp_min(1e-12)[:, None, None], (noise_power + more) / (1.0 + more)


def limit(iq: Tensor, generator: torch.Generator, share: float, most: float) -> Tensor:
    """Limit the envelope of a ``share`` of frames ``(n, 2, L)`` of RMS 1; RMS stays 1.

    As of an amplifier near saturation or a fast automatic gain: ``x / sqrt(1 + |g x|^2)``, each
    chosen frame with a drive ``g`` of its own, log-uniform up to ``most``. Noise that is there
    before makes the envelope's way through zero a way around it, with signals that should have no
    quadrature.
    """
    n, device = len(iq), iq.device
    drive = _LEAST_DRIVE * (most / _LEAST_DRIVE) ** torch.rand(
        n, 1, 1, generator=generator, device=device
    )
    chosen = torch.rand(n, 1, 1, generator=generator, device=device) < share
    drive = torch.where(chosen, drive, torch.zeros_like(drive))
    power = iq.square().sum(dim=1, keepdim=True)
    limited = iq * (1.0 + drive.square() * power).rsqrt()
    rms = limited.square().sum(dim=1, keepdim=True).mean(dim=2, keepdim=True).sqrt()
    return limited / rms.clamp_min(1e-12)


def estrange(
    iq: Tensor,
    label: Tensor,
    snr_db: Tensor,
    plain: Tensor,
    generator: torch.Generator,
    share: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Make a ``share`` of frames ``(n, 2, L)`` of RMS 1 into some of no class; RMS stays 1.

    ``label (n)``, ``snr_db (n)``, and ``plain (classes)`` as :func:`strangers.strangers` wants it.
    Only of frames of at least 5 dB, so that it shows what they are made of. Their labels become
    ``NO_CLASS`` and their SNRs NaN.
    """
    strange, _, made = strangers.strangers(iq, label, plain, generator)
    chosen = torch.rand(len(iq), generator=generator, device=iq.device) < share
    chosen = chosen & made & (snr_db >= _STRANGE_FROM_DB)
    iq = torch.where(chosen[:, None, None], strange, iq)
    return iq, torch.where(chosen, NO_CLASS, label), torch.where(chosen, torch.nan, snr_db)


def mirror_images(classes: Sequence[str]) -> Tensor:
    """For each class the index of what its mirrored spectrum is called, ``(classes)`` int64."""
    names = {name: at for at, name in enumerate(classes)}
    images = [names.get(_MIRROR_IMAGES.get(name, name), at) for name, at in names.items()]
    return torch.tensor(images)


def _filtered(signal: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Low-pass a share of the frames ``(n, L)``, each at a cutoff of its own, back to RMS 1."""
    n, length = signal.shape
    device = signal.device
    low, high = _CUTOFFS
    cutoff = low * (high / low) ** torch.rand(n, 1, generator=generator, device=device)
    frequency = torch.fft.fftfreq(length, device=device).abs()
    edge = (cutoff + _TRANSITION / 2 - frequency) / _TRANSITION
    response = 0.5 - 0.5 * torch.cos(math.pi * edge.clamp(0.0, 1.0))
    chosen = torch.rand(n, 1, generator=generator, device=device) < share
    response = torch.where(chosen, response, torch.ones_like(response))
    filtered = torch.fft.ifft(torch.fft.fft(signal) * response)
    rms = filtered.abs().square().mean(dim=1, keepdim=True).sqrt()
    return filtered / rms.clamp_min(1e-12)


class ClassifierModule(lightning.LightningModule):
    """Trains the network ``network`` on batches of (frames ``(n, 2, L)``, class ``(n)``, position).

    ``loss`` lists the terms (name, weight, options) of its loss. Everything needed to build the
    network again stands in the hyperparameters, so a checkpoint is enough for inference; the
    teacher is given to those who train and is not part of the checkpoint. ``remember`` may be given
    what the teacher shows of all training frames, so that it need not be run.
    ``describes`` (data set, recipe, samples a symbol, command) is carried for the export.
    """

    def __init__(
        self,
        *,
        network: str,
        network_options: dict[str, Any],
        classes: list[str],
        frame_length: int,
        loss: list[dict[str, Any]],
        train: dict[str, Any],
        seed: int,
        augment: dict[str, Any],
        describes: dict[str, Any],
        teacher: nn.Module | None = None,
        teacher_sees: str = "augmented",
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["teacher"])
        self.network = registry.create(
            network, classes=len(classes), frame_length=frame_length, **network_options
        )
        # Not in checkpoints of before there was such training.
        if train.get("quantize"):
            qat.prepare(self.network)
        # In a tuple, so that it is neither trained nor saved.
        self._teacher = (teacher.eval(),) if teacher is not None else ()
        self._remembered: TeacherCache | None = None
        self.teacher_example: Outputs | None = None
        self.terms = nn.ModuleList()
        if teacher is not None or not any(
            losses.known(term["name"]).needs_teacher for term in loss
        ):
            self._make_terms()
        self.register_buffer("_mirror_images", mirror_images(classes), persistent=False)
        plain = torch.tensor([name in strangers.PLAIN for name in classes])
        self.register_buffer("plain", plain, persistent=False)
        self.accuracy = MulticlassAccuracy(len(classes), average="micro")

    def _make_terms(self) -> None:
        """The loss terms, with projections that fit what the two networks show."""
        shape = (2, 2, self.hparams.frame_length)
        example = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        self.network.eval()
        with torch.no_grad():
            student = outputs_of(self.network, example, attention=True)
            try:
                check_outputs(student, len(example), len(self.hparams.classes))
            except TypeError as error:
                raise UserError(f"network {self.hparams.network}: {error}") from error
            teacher = None
            for network in self._teacher:
                teacher = outputs_of(network, example, attention=True)
        self.teacher_example = teacher
        self.network.train()
        for term in self.hparams.loss:
            self.terms.append(
                losses.create(term["name"], student=student, teacher=teacher, **term["options"])
            )

    def pair(self) -> tuple[nn.Module, ...]:
        """The network and, if there is one, its teacher."""
        return (self.network, *self._teacher)

    def remember(self, outputs: TeacherCache) -> None:
        """Take the teacher's outputs from a cache, by position, instead of running it."""
        self._remembered = outputs

    def forward(self, iq: Tensor) -> Tensor:
        return self.network(iq)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if not self.terms:
            # Built without a teacher, for inference: the terms' projections have no place.
            state = checkpoint["state_dict"]
            for name in [name for name in state if name.startswith("terms.")]:
                del state[name]

    def on_fit_start(self) -> None:
        for network in self._teacher:
            network.to(self.device)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> Tensor:
        iq, label, position = batch
        # Seeded by the step, augmentation and what draws from the global generator (dropout), so
        # that a resumed run draws what an uninterrupted one would have.
        seed = self._mixed_seed(self.global_step)
        torch.manual_seed(seed)
        generator = torch.Generator(self.device).manual_seed(seed)
        original = iq
        own = dict(self.hparams.augment)
        share, strange = own.pop("noise", 0.0), own.pop("strangers", 0.0)
        rise = own.pop("noise_rise", 0.0)
        limited, drive = own.pop("limiting", 0.0), own.pop("limiting_drive", 0.0)
        if limited > 0.0:
            iq = limit(iq, generator, limited, drive)
        iq, mirrored = augment(iq, generator, **own)
        true_snr, log_posterior = None, None
        if share > 0.0 or strange > 0.0 or any(term.needs_snr for term in self.terms):
            true_snr = self._known("true_snr", position)
        if share > 0.0 or rise > 0.0:
            noise_power = self._known("noise_power", position)
        if share > 0.0:
            iq, true_snr, noise_power = add_noise(iq, true_snr, noise_power, generator, share)
        if rise > 0.0:
            iq, fall = raise_noise(iq, noise_power, generator, rise)
            true_snr = None if true_snr is None else true_snr - fall
        if any(term.needs_posterior for term in self.terms):
            log_posterior = self._renamed(self._known("log_posterior", position), mirrored)
        label = torch.where(mirrored, self._mirror_images[label], label)
        if strange > 0.0:
            iq, label, true_snr = estrange(iq, label, true_snr, self.plain, generator, strange)
        attention = any(term.needs_attention for term in self.terms)
        student = outputs_of(self.network, iq, attention=attention)
        if self.hparams.teacher_sees == "original":
            teacher = self._teach(original, position, attention)
            if teacher is not None:
                teacher = replace(teacher, logits=self._renamed(teacher.logits, mirrored))
        else:
            teacher = self._teach(iq, position, attention)
        loss = torch.zeros((), device=self.device)
        for settings, term in zip(self.hparams.loss, self.terms, strict=True):
            target = true_snr if term.needs_snr else label
            value = term(student, teacher, log_posterior if term.needs_posterior else target)
            loss = loss + settings["weight"] * value
            if len(self.terms) > 1:
                self.log(f"train_{settings['name']}", value, on_step=False, on_epoch=True)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def _renamed(self, scores: Tensor, mirrored: Tensor) -> Tensor:
        """``scores (n, classes)``, of ``mirrored (n)`` frames those of what they are called now."""
        return torch.where(mirrored[:, None], scores[:, self._mirror_images], scores)

    def _known(self, what: str, position: Tensor) -> Tensor:
        """``true_snr``, ``noise_power`` or ``log_posterior`` of the training frames at ``position
        (n)``; raises UserError if the data set does not hold it."""
        known = getattr(self.trainer.datamodule.training, what)
        if known is None:
            raise UserError(
                "loss posterior needs a data set that holds each frame's exact posterior"
                if what == "log_posterior"
                else "loss snr, augment.noise, augment.noise_rise and augment.strangers need a "
                "data set that holds each frame's true SNR or share of noise"
            )
        return known[position.cpu()].to(position.device)

    def _mixed_seed(self, step: int) -> int:
        return self.hparams.seed * 1_000_003 + step + 1_000_000_007 * self.global_rank

    def _teach(self, iq: Tensor, position: Tensor, attention: bool) -> Outputs | None:
        if self._remembered is not None:
            return self._remembered[position]
        for network in self._teacher:
            with torch.no_grad():
                return outputs_of(network, iq, attention=attention)
        return None

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> None:
        iq, label, _ = batch
        logits = self(iq).float()
        self.accuracy(logits, label)
        loss = nn.functional.cross_entropy(logits, label)
        self.log("val_loss", loss, prog_bar=True, batch_size=len(label))
        self.log("val_accuracy", self.accuracy, prog_bar=True)

    def configure_optimizers(self) -> dict[str, Any]:
        settings = self.hparams.train
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings["optimizer"]]
        optimizer = kind(
            self.parameters(),
            lr=settings["learning_rate"],
            weight_decay=settings["weight_decay"],
            fused=True,  # one kernel for many small tensors
        )
        if settings["schedule"] == "constant":
            return {"optimizer": optimizer}
        if settings["schedule"] == "plateau":
            schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer,
                mode="min" if settings["monitor"] == "val_loss" else "max",
                factor=settings["plateau_factor"],
                # Torch counts the epochs that it bears, and reduces in the one after.
                patience=settings["plateau_patience"] - 1,
                threshold=0.0,
            )
            # Stepped by hand below: Lightning steps it after the checkpoint of the epoch was
            # written, and a resumed run would miss that step.
            config = {"scheduler": schedule, "interval": "epoch", "reduce_on_plateau": False}
            return {"optimizer": optimizer, "lr_scheduler": config}
        total = int(self.trainer.estimated_stepping_batches)
        warmup = round(total * settings["warmup_epochs"] / settings["epochs"])

        def factor(step: int) -> float:
            rising = (step + 1) / warmup if warmup else 1.0
            falling = 0.5 * (1 + math.cos(math.pi * min(step / total, 1.0)))
            return min(rising, 1.0) * falling

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        if not isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step()

    def on_train_epoch_end(self) -> None:
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step(self.trainer.callback_metrics[self.hparams.train["monitor"]])
