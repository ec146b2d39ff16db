# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line ``kdamc-train``. Torch and GNU Radio are imported only by what needs them."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import UserError
from .own_files import import_first

if TYPE_CHECKING:
    from .recipe import Recipe

_SPLIT = "600-200-200"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors of the user's get one line on stderr."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(arguments)
    # So that a kill, like Ctrl-C, runs the clean-up of unfinished files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.command_line = shlex.join(["kdamc-train", *arguments])
    try:
        for name in options.imports:
            import_first(name)
        return options.do(options) or 0
    except (UserError, OSError) as error:
        print(f"kdamc-train: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("kdamc-train: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kdamc-train", description="Make data sets, train, measure and export classifiers."
    )
    parser.add_argument("--version", action="version", version=f"kdamc-train {__version__}")
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a Python module first, which registers networks, losses or data sets",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    data = commands.add_parser("data", help="make and check data sets").add_subparsers(
        required=True, metavar="ACTION"
    )
    generate = data.add_parser("generate", help="write a generated data set; goes on after a kill")
    generate.add_argument("name", metavar="NAME", help="see kdamc-train list")
    generate.add_argument("out", metavar="OUT.h5", type=Path)
    generate.add_argument("--frames-per-cell", type=int, required=True, metavar="N")
    generate.add_argument("--seed", type=int, required=True, metavar="S")
    generate.add_argument(
        "--speech",
        default="train",
        metavar="STOCK",
        help="train or test: texts and voices that the other has not; also changes the bits",
    )
    generate.add_argument(
        "--run-length",
        type=int,
        default=0,
        metavar="R",
        help="cut R consecutive frames from each pass instead of frames far apart",
    )
    generate.add_argument(
        "--classes", type=lambda text: text.split(","), metavar="A,B", help="only these classes"
    )
    generate.add_argument(
        "--snr",
        type=_range_of(int),
        metavar="LOW:HIGH",
        help="only these SNR labels (dB); a negative LOW needs the form --snr=LOW:HIGH",
    )
    generate.add_argument("--jobs", type=int, default=1, metavar="J", help="processes (default 1)")
    generate.set_defaults(do=_generate)

    importing = data.add_parser(
        "import", help="write a genuine RadioML file, or one's own SigMF recordings, to a file"
    )
    importing.add_argument("sources", metavar="FILE", type=Path, nargs="+")
    importing.add_argument("out", metavar="OUT.h5", type=Path)
    importing.add_argument(
        "--format",
        default="",
        metavar="NAME",
        help="rml2016.10a, rml2016.10b, rml2016.04c, rml2018.01a or sigmf; told from the file "
        "if not given",
    )
    importing.add_argument(
        "--classes", type=_names, default=(), metavar="A,B,…", help="only these classes"
    )
    genuine = importing.add_argument_group("genuine sets")
    genuine.add_argument(
        "--snr",
        type=_range_of(int),
        metavar="LOW:HIGH",
        help="only these SNR labels (dB); a negative LOW needs the form --snr=LOW:HIGH",
    )
    genuine.add_argument(
        "--frames-per-cell",
        type=int,
        metavar="N",
        help="only the first N frames of each class at each SNR label",
    )
    own = importing.add_argument_group("recordings (SigMF with annotations)")
    own.add_argument("--frame-length", type=int, metavar="L", help="samples a frame")
    own.add_argument(
        "--hop", type=int, metavar="H", help="samples between frame starts (default L)"
    )
    own.add_argument(
        "--labels", type=Path, metavar="MAP.yaml", help="class name by label; null leaves it out"
    )
    own.add_argument(
        "--centre", action="store_true", help="shift the middle of an annotated band to 0 Hz"
    )
    own.add_argument(
        "--samples-per-symbol",
        type=_range_of(float),
        metavar="LOW:HIGH",
        help="if not given: sample rate over annotated bandwidth",
    )
    importing.set_defaults(do=_import)

    split = data.add_parser("split", help="part a data set file as a paper did, by pass")
    split.add_argument("data", metavar="FILE", type=Path)
    split.add_argument("out", metavar="DIR", type=Path, help="for training, validation and test")
    split.add_argument(
        "--preset", required=True, metavar="NAME", help="sbcnn, crosstlnet, edge or 600-200-200"
    )
    split.add_argument("--seed", type=int, metavar="S", help="instead of the preset's")
    split.set_defaults(do=_split)

    show = data.add_parser("show", help="a table of what a data set file holds, and pictures of it")
    show.add_argument("data", metavar="FILE", type=Path)
    show.add_argument(
        "--out", type=Path, metavar="DIR", help="where the PNG files go (default: beside FILE)"
    )
    show.add_argument("--no-pictures", action="store_true", help="the table alone")
    show.set_defaults(do=_show)

    fidelity = data.add_parser("fidelity", help="compare a regenerated set with genuine data")
    fidelity.add_argument("data", metavar="DATA.h5", type=Path)
    by = fidelity.add_mutually_exclusive_group(required=True)
    by.add_argument(
        "--trained", metavar="M.onnx", help="network trained on such a set: has it the weaknesses?"
    )
    by.add_argument(
        "--yardstick",
        metavar="M.onnx",
        help="network trained on genuine data, input (n, L, 2) with sum of |x| 1",
    )
    fidelity.add_argument(
        "--own-scale",
        action="store_true",
        help="the yardstick takes frames at the set's own scale (2018.01A): compare all cells",
    )
    fidelity.add_argument(
        "--reference",
        required=True,
        type=Path,
        metavar="CSV",
        help="accuracy on genuine data: a row a class, a column an SNR label",
    )
    fidelity.add_argument("--json", type=Path, metavar="FILE")
    fidelity.set_defaults(do=_fidelity)

    listing = commands.add_parser("list", help="name data sets, networks and recipes")
    listing.set_defaults(do=_list)

    run = commands.add_parser("run", help="do all that a recipe says; goes on after a kill")
    run.add_argument("recipe", metavar="RECIPE", help="file or name")
    run.add_argument("--budget", default="paper", metavar="B", help="smoke, reduced or paper")
    run.add_argument("--set", action="append", default=[], metavar="K=V", dest="overrides")
    run.add_argument(
        "--only", type=_names, default=(), metavar="A,B", help="only these members and teachers"
    )
    run.add_argument(
        "--missing",
        action="store_true",
        help="only what has no published record of these settings; teachers that were not trained "
        "here are taken from published weights",
    )
    run.add_argument(
        "--data", type=Path, metavar="FILE.h5", help="train on a data set file, as imported"
    )
    run.add_argument("--split", metavar="NAME", help=f"how to part it (default {_SPLIT})")
    run.add_argument("--jobs", type=int, default=1, metavar="J", help="processes for data")
    run.add_argument("--work", type=Path, metavar="DIR", help="folder for data and runs")
    run.add_argument(
        "--publish", action="store_true", help="copy records to results/, the model to models/"
    )
    run.set_defaults(do=_run)

    finetune = commands.add_parser(
        "finetune", help="go on from a trained network with one's own recordings"
    )
    finetune.add_argument(
        "model", metavar="MODEL", type=Path, help="a run's folder, checkpoint or .safetensors file"
    )
    finetune.add_argument(
        "data", metavar="DATA.h5", type=Path, nargs="+", help="from kdamc-train data import"
    )
    finetune.add_argument("out", metavar="OUT", type=Path, help="folder of the new run")
    finetune.add_argument(
        "--rehearse",
        type=Path,
        metavar="FILE.h5",
        help="frames of what the model knows, given as often as own ones so that it is not "
        "forgotten",
    )
    finetune.add_argument(
        "--own-classes", action="store_true", help="forget all classes that DATA does not have"
    )
    finetune.add_argument(
        "--trust-snr",
        action="store_true",
        help="DATA's SNR labels are over the noise in the whole sampled band: learn from them",
    )
    finetune.add_argument("--epochs", type=int, default=10, metavar="N", help="(%(default)s)")
    finetune.add_argument(
        "--learning-rate", type=float, default=5e-4, metavar="R", help="(%(default)s)"
    )
    finetune.add_argument("--batch-size", type=int, default=64, metavar="N", help="(%(default)s)")
    finetune.add_argument(
        "--hold-out",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="of each class's recordings, for calibration and to measure on (%(default)s)",
    )
    finetune.add_argument("--seed", type=int, default=0, metavar="S", help="(%(default)s)")
    finetune.set_defaults(do=_finetune)

    report = commands.add_parser("report", help="write docs/results.md from the records")
    report.add_argument(
        "--check", action="store_true", help="write nothing; fail if it is not what they give"
    )
    report.add_argument(
        "--recipe", metavar="RECIPE", help="a page of one's own, of the runs of one recipe"
    )
    report.add_argument("--budget", default="paper", metavar="B", help="at which they were run")
    report.add_argument("--set", action="append", default=[], metavar="K=V", dest="overrides")
    report.add_argument("--work", type=Path, metavar="DIR", help="folder of data and runs")
    report.add_argument("--out", type=Path, metavar="FILE.md", help="the page to write")
    report.set_defaults(do=_report)

    evaluate = commands.add_parser("evaluate", help="measure a model on a data set file")
    evaluate.add_argument("data", metavar="DATA.h5", type=Path)
    evaluate.add_argument("--model", required=True, metavar="M.onnx")
    evaluate.add_argument("--json", type=Path, metavar="FILE")
    evaluate.set_defaults(do=_evaluate)

    checkpoint = commands.add_parser(
        "checkpoint", help="publish the weights of runs with their SHA-256"
    )
    checkpoint.add_argument("folders", metavar="RUN", type=Path, nargs="+", help="a run's folder")
    checkpoint.set_defaults(do=_checkpoint)

    export = commands.add_parser("export", help="turn a checkpoint into an ONNX model")
    export.add_argument(
        "checkpoint", metavar="CKPT", type=Path, help="of a run, its folder, or a .safetensors file"
    )
    export.add_argument("out", metavar="OUT.onnx", type=Path)
    export.add_argument(
        "--uncalibrated",
        action="store_true",
        help="export although no calibration.json lies beside the checkpoint",
    )
    export.set_defaults(do=_export)

    quantize = commands.add_parser("quantize", help="turn a model into int8 and measure both")
    quantize.add_argument(
        "target", metavar="TARGET", help="ONNX file, folder of a run, or recipe that publishes one"
    )
    quantize.add_argument("out", metavar="OUT.onnx", type=Path)
    quantize.add_argument("--json", type=Path, metavar="FILE")
    quantize.add_argument(
        "--recipe", default="", metavar="NAME", help="whose data, if the ONNX file does not say"
    )
    quantize.add_argument("--budget", default="paper", metavar="B", help="smoke, reduced or paper")
    quantize.add_argument(
        "--weight-bits",
        type=int,
        default=7,
        metavar="B",
        help="7, the same on every processor, or 8, for those with VNNI or ARM (%(default)s)",
    )
    quantize.add_argument(
        "--operators",
        type=_names,
        default=("Conv",),
        metavar="A,B",
        help="kinds of nodes: Conv, Gemm, MatMul (default Conv)",
    )
    quantize.add_argument(
        "--float", type=_names, default=(), metavar="A,B", dest="keep_float", help="but these nodes"
    )
    quantize.add_argument(
        "--frames",
        type=int,
        default=2048,
        metavar="N",
        help="of the validation part, for the ranges (%(default)s)",
    )
    quantize.add_argument(
        "--seconds", type=float, default=1.0, metavar="T", help="for each timing (%(default)s)"
    )
    quantize.add_argument("--jobs", type=int, default=1, metavar="J", help="processes for data")
    quantize.add_argument("--work", type=Path, metavar="DIR", help="folder for data and runs")
    quantize.set_defaults(do=_quantize)

    compress = commands.add_parser(
        "compress", help="prune and quantize what a recipe trained; goes on after a kill"
    )
    compress.add_argument("recipe", metavar="RECIPE", help="file or name: compression/…")
    compress.add_argument("--budget", default="paper", metavar="B", help="smoke, reduced or paper")
    compress.add_argument(
        "--only", type=_names, default=(), metavar="A,B", help="only these rows and their origins"
    )
    compress.add_argument("--jobs", type=int, default=1, metavar="J", help="processes for data")
    compress.add_argument("--work", type=Path, metavar="DIR", help="folder for data and runs")
    compress.add_argument("--publish", action="store_true", help="copy records to results/")
    compress.set_defaults(do=_compress)

    litmus = commands.add_parser(
        "litmus", help="check that torch, ONNX Runtime and the GNU Radio block say the same"
    )
    litmus.add_argument("checkpoint", metavar="CKPT", type=Path)
    litmus.add_argument("data", metavar="DATA.h5", type=Path)
    litmus.add_argument(
        "--frames", type=int, default=500, metavar="N", help="spread over DATA.h5 (%(default)s)"
    )
    litmus.add_argument(
        "--model", type=Path, metavar="M.onnx", help="check this file, not a fresh export"
    )
    litmus.set_defaults(do=_litmus)

    speed = commands.add_parser(
        "speed", help="sizes and speed of the recipes' networks, or of trained ones"
    )
    speed.add_argument(
        "runs", metavar="RUN", type=Path, nargs="*", help="folders of runs (default all recipes)"
    )
    speed.add_argument(
        "--networks", type=_names, default=(), metavar="A,B", help="only these networks"
    )
    speed.add_argument(
        "--seconds", type=float, default=1.0, metavar="T", help="for each timing (%(default)s)"
    )
    speed.add_argument("--json", type=Path, metavar="FILE")
    speed.set_defaults(do=_speed)

    robustness = commands.add_parser(
        "robustness", help="accuracy under offsets, at other rates and on other sets"
    )
    robustness.add_argument(
        "targets",
        metavar="RUN",
        type=Path,
        nargs="+",
        help="folder of a run, published weights, or an ONNX file",
    )
    robustness.add_argument("--json", type=Path, metavar="FILE")
    robustness.add_argument(
        "--data", type=Path, metavar="FILE.h5", help="instead of the recipe's test part"
    )
    robustness.add_argument(
        "--sets", type=_names, default=(), metavar="A,B", help="names or files of other sets"
    )
    robustness.add_argument(
        "--sweeps",
        type=_names,
        metavar="A,B",
        help="of carrier_offset, timing_offset and samples_per_symbol; '' for none (default all)",
    )
    robustness.add_argument(
        "--most-frames", type=int, default=0, metavar="N", help="for the first sweep (default all)"
    )
    robustness.add_argument(
        "--frames-per-cell", type=int, default=50, metavar="N", help="for the last two sweeps"
    )
    robustness.add_argument("--jobs", type=int, default=1, metavar="J", help="processes for data")
    robustness.add_argument("--work", type=Path, metavar="DIR", help="folder for data")
    robustness.set_defaults(do=_robustness)

    bound = commands.add_parser(
        "bound", help="measure the exact classifier of linear modulations in white noise"
    )
    bound.add_argument(
        "--frames",
        type=int,
        default=1500,
        metavar="N",
        help="of each class at each Es/N0 (%(default)s)",
    )
    bound.add_argument("--symbols", type=int, default=64, metavar="N", help="a frame (%(default)s)")
    bound.add_argument("--seed", type=int, default=0, metavar="S", help="(%(default)s)")
    bound.add_argument(
        "--es-n0",
        type=_steps,
        default="-10:20:2",
        metavar="LOW:HIGH:STEP",
        help="in dB, whole numbers (%(default)s); a negative LOW needs the form --es-n0=…",
    )
    bound.add_argument(
        "--beside",
        type=Path,
        metavar="LIVE.h5",
        help="a file of the set live: as many symbols at the same Es/N0 as each frame has, beside "
        "what the model makes of it; --symbols and --es-n0 come from the file then",
    )
    bound.add_argument("--model", default="", metavar="M.onnx", help="for --beside")
    bound.add_argument("--json", type=Path, metavar="FILE")
    bound.set_defaults(do=_bound)
    return parser


def _names(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _range_of(number: type) -> Callable[[str], tuple[Any, Any]]:
    """A reader of LOW:HIGH, or of one number that is both."""

    def read(text: str) -> tuple[Any, Any]:
        low, _, high = text.partition(":")
        pair = number(low), number(high or low)
        if not pair[0] <= pair[1]:
            raise argparse.ArgumentTypeError(f"{text} is no range LOW:HIGH")
        return pair

    read.__name__ = "range LOW:HIGH"  # argparse names the type so in its message
    return read


def _steps(text: str) -> tuple[int, ...]:
    """The numbers of LOW:HIGH:STEP, HIGH included if a step meets it."""
    low, high, step = (int(part) for part in text.split(":"))
    if step < 1 or low > high:
        raise argparse.ArgumentTypeError(f"{text} is no LOW:HIGH:STEP")
    return tuple(range(low, high + 1, step))


_steps.__name__ = "LOW:HIGH:STEP"  # argparse names the type so in its message


def _import(options: argparse.Namespace) -> None:
    from .datasets.genuine import Part
    from .datasets.import_sigmf import Cutting, read_names
    from .datasets.importing import import_files

    part = cutting = None
    if options.snr or options.frames_per_cell is not None or options.frame_length is None:
        part = Part(options.snr, options.classes, options.frames_per_cell)
    if options.frame_length is None:
        of_recordings = (options.hop, options.labels, options.samples_per_symbol)
        if options.centre or any(value is not None for value in of_recordings):
            raise UserError(
                "--hop, --labels, --centre and --samples-per-symbol belong to recordings, which "
                "need --frame-length"
            )
    else:
        cutting = Cutting(
            frame_length=options.frame_length,
            hop=options.frame_length if options.hop is None else options.hop,
            classes=options.classes,
            names=read_names(options.labels) if options.labels else None,
            centre=options.centre,
            samples_per_symbol=options.samples_per_symbol,
        )
    name, frames = import_files(
        options.sources, options.out, name=options.format, part=part, cutting=cutting
    )
    print(f"{options.out}: {frames} frames of {name}")


def _split(options: argparse.Namespace) -> None:
    from .datasets.dataset_file import DataSetFile
    from .datasets.splits import write_parts

    with DataSetFile(options.data) as data:
        counts = write_parts(data, options.preset, options.out, options.seed)
    for part, frames in counts.items():
        print(f"{options.out / part}.h5: {frames} frames")


def _show(options: argparse.Namespace) -> None:
    from rich.console import Console

    from .datasets.dataset_file import DataSetFile
    from .datasets.show import draw, table

    with DataSetFile(options.data) as data:
        Console().print(table(data))
        if not options.no_pictures:
            for path in draw(data, options.out or options.data.parent):
                print(path)


def _generate(options: argparse.Namespace) -> None:
    from . import datasets as datasets
    from .datasets.generate import generate

    frames = generate(
        options.name,
        options.out,
        frames_per_cell=options.frames_per_cell,
        seed=options.seed,
        split=options.speech,
        run_length=options.run_length,
        classes=options.classes,
        snr=options.snr,
        jobs=options.jobs,
    )
    print(f"{options.out}: {frames} frames")


def _fidelity(options: argparse.Namespace) -> int:
    from .fidelity import compare, compare_cells, compare_weaknesses

    if options.trained:
        if options.own_scale:
            raise UserError("--own-scale goes with --yardstick")
        from .evaluate import evaluate
        from .onnx_models import open_model

        record = evaluate(open_model(options.trained), options.data)
        found = compare_weaknesses(record, options.reference)
        print("class     here  genuine")
        for name, here in found["by_class"].items():
            print(f"{name:8s} {here:5.3f}    {found['reference_by_class'][name]:5.3f}")
        print(
            f"AM-DSB and WBFM {found['pause_mean']:.3f}, genuine "
            f"{found['reference_pause_mean']:.3f}; "
            f"largest difference of the others {found['largest_difference']:.3f}"
        )
        return _verdict(found, options)
    if options.own_scale:
        found = compare_cells(options.data, options.yardstick, options.reference)
        print("class      mean difference")
        for name, difference in found["difference_by_class"].items():
            print(f"{name:10s} {difference:5.3f}")
    else:
        found = compare(options.data, options.yardstick, options.reference)
    print("SNR label   here  genuine")
    for label, here, genuine in zip(
        found["snr_labels"], found["by_snr"], found["reference_by_snr"], strict=True
    ):
        print(f"{label:9d}  {here:5.3f}    {genuine:5.3f}")
    if options.own_scale:
        print(
            f"overall {found['overall']:.4f}, genuine {found['reference_overall']:.4f}, mean "
            f"absolute difference of the cells {found['mean_absolute_difference']:.3f}"
        )
    else:
        print(
            f"overall {found['overall']:.4f}, largest difference {found['largest_difference']:.3f}"
        )
    return _verdict(found, options)


def _verdict(found: dict, options: argparse.Namespace) -> int:
    from .records import write_record

    print("faithful" if found["faithful"] else "NOT faithful")
    if options.json:
        write_record(options.json, found)
    return 0 if found["faithful"] else 2


def _list(options: argparse.Namespace) -> None:
    from . import datasets as datasets
    from . import distillation as distillation
    from . import networks as networks
    from . import recipe
    from .datasets import registry as generators
    from .datasets.splits import PRESETS
    from .distillation import registry as losses
    from .networks import registry as network_registry

    recipes = recipe.names()
    for title, names in (
        ("systems", sorted({name.partition("/")[0] for name in recipes})),
        ("data sets", generators.names()),
        ("splits", sorted(PRESETS)),
        ("networks", network_registry.names()),
        ("losses", losses.names()),
        ("recipes", recipes),
        ("recipes of compression", recipe.names(compression=True)),
    ):
        print(f"{title}:")
        for name in names:
            print(f"  {name}")


def _run(options: argparse.Namespace) -> None:
    from . import datasets as datasets
    from . import pipeline, recipe

    path, given = recipe.find(options.recipe), []
    if options.data:
        given = recipe.for_file(path, options.budget, options.data, options.split or _SPLIT)
    elif options.split:
        raise UserError("--split goes with --data")
    chosen = recipe.load(path, options.budget, [*given, *options.overrides])
    if options.publish and options.overrides:
        _refuse_changed(chosen, recipe.load(path, options.budget, given))

    def tell(record: dict[str, Any], finished_before: bool) -> None:
        test, origin = record["test"], record.get("trained_as")
        print(
            f"{record['member']} seed {record['seed']}: {100 * test['overall']:.2f} % of "
            f"{test['frames']} test frames, {record['epochs']} epochs"
            + (f", trained as {origin}" if origin else "")
            + (", finished before" if finished_before else ""),
            flush=True,
        )

    records = pipeline.run(
        chosen,
        options.command_line,
        work=options.work or pipeline.WORK,
        jobs=options.jobs,
        only=options.only,
        publish=options.publish,
        missing=options.missing,
        tell=tell,
    )
    _tell_gains(chosen, records)


def _refuse_changed(changed: Recipe, recipe: Recipe) -> None:
    """Refuse to publish what a recipe would not give without ``--set``."""
    from .run_settings import same, settings_of

    for name in changed.members:
        seed = recipe.seeds_of(name)[0]
        if name not in recipe.members or not same(
            settings_of(changed, name, seed), settings_of(recipe, name, seed)
        ):
            raise UserError(
                f"--publish is for what {recipe.name} says, and --set changes how {name} is "
                "trained: write a recipe that says so"
            )


def _tell_gains(recipe: Recipe, records: list[dict[str, Any]]) -> None:
    """The gains that the recipe asks for, over the seeds that were run."""
    from .report.collect import gain

    for pair in recipe.report.gains:
        both = [[one for one in records if one["member"] == name] for name in pair]
        if found := gain(*both):
            half = found.half_width
            interval = "one seed" if half is None else f"{len(found.seeds)} seeds, 95 % interval "
            if half is not None:
                interval += f"{100 * (found.mean - half):+.2f} to {100 * (found.mean + half):+.2f}"
            print(
                f"{pair[0]} over {pair[1]}: {100 * found.mean:+.2f} points ({interval}), "
                f"{found.verdict}"
            )


def _finetune(options: argparse.Namespace) -> None:
    from .finetune import Settings, finetune

    found = finetune(
        options.model,
        options.data,
        options.out,
        options.command_line,
        Settings(
            epochs=options.epochs,
            learning_rate=options.learning_rate,
            batch_size=options.batch_size,
            hold_out=options.hold_out,
            own_classes=options.own_classes,
            trust_snr=options.trust_snr,
            seed=options.seed,
        ),
        options.rehearse,
    )
    for name, told in found["before_and_after"].items():
        before, after = told["before"]["overall"], told["after"]["overall"]
        print(
            f"{name}: {100 * before:.1f} % before, {100 * after:.1f} % after, of "
            f"{told['after']['frames']} frames held out"
        )
    if found["classes_added"]:
        print(f"new: {', '.join(found['classes_added'])}")
    if alone := found["classes_not_held_out"]:
        print(f"not measured, as they are in one recording only: {', '.join(alone)}")
    if not options.rehearse and not options.own_classes:
        print("without --rehearse nothing shows whether the other classes are still known")
    if found["snr_trained"] is False:
        print("snr_db was not trained, as no frame tells its SNR: it may be off now")
    print(options.out / found["model"])


def _report(options: argparse.Namespace) -> None:
    from . import report

    if options.recipe:
        paths = _report_own(options)
    elif options.out or options.work or options.overrides or options.budget != "paper":
        raise UserError("--budget, --set, --work and --out go with --recipe")
    elif options.check:
        report.check()
        return
    else:
        paths = report.write()
    for path in paths:
        print(path)


def _report_own(options: argparse.Namespace) -> list[Path]:
    from . import pipeline, recipe, report

    if not options.out or options.check:
        raise UserError("--recipe goes with --out and not with --check")
    chosen = recipe.load(recipe.find(options.recipe), options.budget, options.overrides)
    folder = pipeline.recipe_folder(chosen, options.work or pipeline.WORK)
    return report.write_own(chosen, folder, options.out)


def _evaluate(options: argparse.Namespace) -> None:
    from .evaluate import evaluate
    from .onnx_models import open_model
    from .records import write_record

    record = evaluate(open_model(options.model), options.data)
    for label, accuracy in record["by_snr"].items():
        print(f"{label:>4} dB  {100 * accuracy:5.1f} %")
    print(f"overall {100 * record['overall']:.2f} % of {record['frames']} frames")
    print(f"calibration error {record['ece']:.4f}")
    if options.json:
        write_record(options.json, record)


def _checkpoint(options: argparse.Namespace) -> None:
    from .checkpoints import check_publishable, publish

    for folder in options.folders:
        check_publishable(folder)
    for folder in options.folders:
        weights = publish(folder)
        place = weights["file"] or "too large to be kept"
        print(f"{folder}: {weights['bytes']} bytes, SHA-256 {weights['sha256']}, {place}")


def _export(options: argparse.Namespace) -> None:
    from .checkpoints import calibration_of, open_trained
    from .export import export

    beside = calibration_of(options.checkpoint)
    published = options.checkpoint.suffix == ".safetensors"
    if not (published or options.uncalibrated or beside.is_file()):
        raise UserError(
            f"{beside} does not exist: a run writes it; --uncalibrated exports without it"
        )
    module, calibration = open_trained(options.checkpoint)
    export(module, options.out, calibration)
    print(options.out)


def _quantize(options: argparse.Namespace) -> None:
    from .compression import int8
    from .records import write_record

    target = int8.open_target(options.target, options.recipe, options.budget, options.work)
    found = int8.record(
        target,
        options.out,
        options.command_line,
        scheme=int8.Scheme(options.weight_bits, options.operators, options.keep_float),
        calibration_frames=options.frames,
        seconds=options.seconds,
        work=options.work,
        jobs=options.jobs,
    )
    print(
        "            bytes  accuracy  ECE     " + "".join(f"{n:>9s}" for n in found["speed_ratio"])
    )
    for kind in ("float32", "int8"):
        row = found[kind]
        speeds = "".join(f"{speed:9,.0f}" for speed in row["frames_per_second"].values())
        print(
            f"{kind:8s} {row['bytes']:8,d}  {100 * row['test']['overall']:6.2f} %  "
            f"{row['test']['ece']:.4f}  {speeds} frames/s"
        )
    print(
        f"{100 * found['difference']['overall']:+.2f} points; "
        f"{100 * found['difference']['changed']:.2f} % of the frames are called something else"
    )
    if not found["faster"]:
        print("int8 is NOT faster at every batch size")
    if options.json:
        write_record(options.json, found)


def _compress(options: argparse.Namespace) -> None:
    from . import datasets as datasets
    from .compression import compress
    from .compression import recipe as compression_recipe
    from .pipeline import WORK
    from .recipe import find

    def tell(record: dict[str, Any]) -> None:
        layer, file, speed = record["layer"], record["file"], record["speed"]
        size = f"C_Q {layer['c_q']:.2f}" if "c_q" in layer else f"p_e {100 * layer['p_e']:.2f} %"
        admm = record.get("admm", {"converged": True})
        print(
            f"{record['row']}: {size}, file {file['factor']:.2f} times smaller "
            f"({file['factor_claimed']:.2f} claimed), {100 * record['test']['overall']:.2f} % "
            f"({100 * record['difference']['overall']:+.2f} points), "
            + ", ".join(
                f"{speed[str(size)]['ratio']:.2f} times as fast in batches of {size}"
                for size in compress.BATCH_SIZES
            )
            + ("" if admm["converged"] else "; Net-Trim did NOT converge"),
            flush=True,
        )

    compress.run(
        compression_recipe.load(find(options.recipe, compression=True), options.budget),
        options.command_line,
        work=options.work or WORK,
        jobs=options.jobs,
        only=options.only,
        publish=options.publish,
        tell=tell,
    )


def _litmus(options: argparse.Namespace) -> int:
    from .checkpoints import open_trained
    from .litmus import litmus

    module, _ = open_trained(options.checkpoint)
    pairs = litmus(module, options.data, options.frames, options.model)
    print(f"{options.checkpoint}: {pairs[0].frames} frames of {options.data}, largest difference")
    for pair in pairs:
        print(
            f"{pair.first} and {pair.second}: {pair.difference:.2e} of logits, "
            f"{pair.labels} labels differ{'' if pair.agree else ': they DIFFER'}"
        )
    return 0 if all(pair.agree for pair in pairs) else 1


def _speed(options: argparse.Namespace) -> None:
    from .records import write_record
    from .speed import record

    print("network            parameters        MACs  ONNX bytes  ms a frame  frames/s  recipe")

    def tell(row: dict[str, Any]) -> None:
        print(
            f"{row['network']:16s} {row['parameters']:12,d} {row['macs']:11,d} "
            f"{row['onnx_bytes']:11,d} {row['ms_per_frame']:11.3f} "
            f"{row['frames_per_second']:9,.0f}  {row['recipe']} {row['member']}",
            flush=True,
        )

    found = record(options.command_line, options.seconds, options.networks, tell, options.runs)
    if options.json:
        write_record(options.json, found)


def _robustness(options: argparse.Namespace) -> None:
    from . import robustness
    from .pipeline import WORK
    from .records import write_record

    def tell(row: dict[str, Any]) -> None:
        def line(name: str, found: dict[str, Any]) -> None:
            loud = found["from_0_db"]
            told = "" if loud is None else f", from 0 dB {100 * loud:.2f} %"
            print(f"  {name}: {100 * found['overall']:.2f} %{told}", flush=True)

        print(row["model"])
        line("test part", row["test"])
        for title, sweep in row["sweeps"].items():
            for at, overall, loud in zip(
                sweep["at"], sweep["overall"], sweep["from_0_db"], strict=True
            ):
                line(f"{title} {at:g}", {"overall": overall, "from_0_db": loud})
        for title, found in row["sets"].items():
            line(title, found)

    found = robustness.record(
        options.targets,
        options.command_line,
        data_path=options.data,
        sets=options.sets,
        sweeps=robustness.SWEEPS if options.sweeps is None else options.sweeps,
        most_frames=options.most_frames,
        frames_per_cell=options.frames_per_cell,
        work=options.work or WORK,
        jobs=options.jobs,
        tell=tell,
    )
    if options.json:
        write_record(options.json, found)


def _bound(options: argparse.Namespace) -> None:
    from . import bound
    from .records import write_record

    if bool(options.beside) != bool(options.model):
        raise UserError("--beside and --model go together")
    if options.beside:
        _beside_bound(options)
        return

    def tell(label: int, accuracy: float, own: float) -> None:
        print(f"{label:>4} dB  {100 * accuracy:6.2f} %, by its own {100 * own:6.2f} %", flush=True)

    found = bound.record(
        options.command_line,
        frames_per_cell=options.frames,
        symbols=options.symbols,
        seed=options.seed,
        es_n0_db=options.es_n0,
        tell=tell,
    )
    print(
        f"overall {100 * found['overall']:.2f} % of {found['frames']} frames, by its own "
        f"{100 * found['mean_maximum_posterior']:.2f} %; calibration error {found['ece']:.4f}"
    )
    if options.json:
        write_record(options.json, found)


def _beside_bound(options: argparse.Namespace) -> None:
    from . import beside_bound
    from .records import write_record

    found = beside_bound.record(
        options.command_line,
        options.beside,
        options.model,
        frames=options.frames,
        seed=options.seed,
        tell=lambda line: print(line, flush=True),
    )
    for where, part in {**found["by_snr"], "all": found["overall"]}.items():
        print(
            f"{where:>9} dB  exact {100 * part['exact']:6.2f} %, model among the same classes "
            f"{100 * part['model_among']:6.2f} %, among all {100 * part['model']:6.2f} %"
        )
    if options.json:
        write_record(options.json, found)


if __name__ == "__main__":
    sys.exit(main())
