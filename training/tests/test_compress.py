# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""``kdamc-train compress``: recipes refused by name, small networks killed and resumed, files."""

import multiprocessing
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from gnuradio.kdamc import contract
from kdamc_training import networks as networks
from kdamc_training import pipeline, run_settings
from kdamc_training import recipe as recipes
from kdamc_training.cli import main
from kdamc_training.compression import compress, retrain, structured
from kdamc_training.compression import recipe as compression_recipe
from kdamc_training.compression.coo import Coo
from kdamc_training.compression.net_trim import Progress
from kdamc_training.compression.product_quantization import compression_rate, file_rate
from kdamc_training.compression.sparse_onnx import store_sparse
from kdamc_training.errors import UserError
from kdamc_training.export import export
from kdamc_training.onnx_models import open_model
from kdamc_training.records import read_record, write_record
from kdamc_training.speed import untrained

PATIENCE = 120.0
NAMES = recipes.names(compression=True)
SMALL = {
    "vtcnn2": {"filters": [8, 6], "hidden": 16},
    "resnet_edge": {"filters": 8, "hidden": 16},
    "inceptionnet": {"filters": 8, "hidden": 16},
}


def write(path: Path, content: dict) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture
def recipe_file(tmp_path):
    """A compression recipe with some of its keys changed, as a file."""

    def make(changes):
        content = {
            "name": "compression/toy",
            "about": "",
            "of": "edge/rml2016.10a",
            "net_trim": {"frames": 20},
            "rows": {"pruned": {"member": "vtcnn2", "gain": 0.1}, "again": {"after": "pruned"}},
        }
        return write(tmp_path / "toy.yaml", content | changes)

    return make


def test_there_are_recipes_of_both_kinds_and_none_is_both():
    assert "compression/edge-rml2016.10a" in NAMES
    assert not set(NAMES) & set(recipes.names())
    with pytest.raises(UserError, match="neither a file nor one of compression/"):
        recipes.find("compression/none", compression=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", recipes.BUDGETS)
def test_every_recipe_loads_and_begins_from_members_that_there_are(name, budget):
    loaded = compression_recipe.load(recipes.find(name, compression=True), budget)
    assert loaded.name == name
    training = recipes.load(recipes.find(loaded.of), budget)
    assert {loaded.origin(row).member for row in loaded.rows} <= set(training.members)


def test_the_edge_recipe_has_all_that_the_paper_combines():
    (name,) = [name for name in NAMES if name.endswith("/edge-rml2016.10a")]
    loaded = compression_recipe.load(recipes.find(name, compression=True))
    assert loaded.net_trim.frames == 20000
    for member in ("vtcnn2", "resnet", "inceptionnet"):
        rows = [row for row in loaded.rows.values() if row.member == member]
        assert {row.gain for row in rows} == {0.02, 0.08, None}
        assert {row.blocks for row in rows} == {2, 8, 16, None}
    for member in ("vtcnn2_from_inceptionnet", "vtcnn2_from_resnet", "resnet_from_inceptionnet"):
        rows = [row for row in loaded.rows.values() if row.member == member]
        assert sorted((row.gain or 0, row.blocks or 0) for row in rows) == [(0, 2), (0.08, 0)]
    again = [row.after for row in loaded.rows.values() if row.after]
    assert sorted(again) == sorted(name for name, row in loaded.rows.items() if row.member)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"extra": 1}, "'extra' is unknown"),
        ({"net_trim": {"frames": 20, "gain": 0.1}}, r"'net_trim\.gain' is unknown"),
        ({"net_trim": {"frames": 20, "rho": 0.0}}, r"'net_trim\.rho' is 0\.0"),
        ({"net_trim": {}}, r"'net_trim\.frames' is missing"),
        ({"net_trim": {"frames": 0}}, r"'net_trim\.frames' is 0"),
        ({"net_trim": {"frames": 9, "keep_every": 0}}, r"'net_trim\.keep_every' is 0"),
        ({"product_quantization": {"centroids": 257}}, r"centroids' is 257"),
        ({"retrain": {"epochs": 0}}, r"'retrain\.epochs' is 0"),
        ({"retrain": {"train_share": 1.5}}, r"'retrain\.train_share' is 1\.5"),
        ({"rows": {}}, "'rows' is empty"),
        ({"rows": {"a b": {"member": "vtcnn2", "gain": 0.1}}}, "a name has letters"),
        ({"rows": {"a": {"gain": 0.1}}}, r"'rows\.a\.member' is missing"),
        ({"rows": {"a": {"member": "vtcnn2"}}}, r"'rows\.a' needs one of gain and blocks"),
        ({"rows": {"a": {"member": "vtcnn2", "gain": 0.1, "blocks": 2}}}, "needs one of"),
        ({"rows": {"a": {"member": "vtcnn2", "gain": -0.1}}}, r"'rows\.a\.gain' is -0\.1"),
        ({"rows": {"a": {"member": "vtcnn2", "blocks": 0}}}, r"'rows\.a\.blocks' is 0"),
        ({"rows": {"a": {"member": "vtcnn2", "block": 2}}}, r"'rows\.a\.block' is unknown"),
        ({"rows": {"a": {"after": "b"}}}, r"'rows\.a\.after' is 'b', which is no row"),
        (
            {"rows": {"a": {"member": "v", "gain": 0.1}, "b": {"after": "a", "gain": 0.1}}},
            r"'rows\.b\.after' goes without",
        ),
        (
            {
                "rows": {
                    "a": {"member": "v", "gain": 0.1},
                    "b": {"after": "a"},
                    "c": {"after": "b"},
                }
            },
            r"'rows\.c\.after' is 'b', which is no row",
        ),
    ],
)
def test_what_a_recipe_cannot_say_is_refused_by_name(recipe_file, changes, says):
    with pytest.raises(UserError, match=says):
        compression_recipe.load(recipe_file(changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": {"a": {"member": "nobody", "gain": 0.1}}}, r"'rows\.a\.member' is 'nobody'"),
        ({"rows": {"a": {"member": "vtcnn2", "blocks": 3}}}, r"'rows\.a\.blocks' is 3; it must"),
        (
            {"of": "mldnet/rml2016.10a", "rows": {"a": {"member": "teacher", "gain": 0.1}}},
            "which has no layer 'hidden'",
        ),
        ({"of": "nothing/none"}, "no recipe 'nothing/none'"),
        ({}, "first: kdamc-train run edge/rml2016.10a --budget paper --only vtcnn2"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(recipe_file, tmp_path, changes, says):
    loaded = compression_recipe.load(recipe_file(changes))
    with pytest.raises(UserError, match=says):
        compress.run(loaded, "none", work=tmp_path / "work")
    assert not (tmp_path / "work").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Small edge networks, trained; the recipe to compress them, and the work folder."""
    folder = tmp_path_factory.mktemp("compress")
    training = {
        "name": "edge/toy",
        "about": "",
        "data": {
            "generator": "rml2016.10a",
            "snr": [10, 10],
            "train": {"frames_per_cell": 12, "seed": 1, "speech": "train"},
            "test": {"frames_per_cell": 2, "seed": 2, "speech": "test"},
            "validation_share": 0.25,
        },
        "train": {"epochs": 2, "batch_size": 32},
        "members": {"vtcnn2": {"network": "vtcnn2", "options": SMALL["vtcnn2"]}},
        "seeds": [0],
        "budgets": {"smoke": {}, "reduced": {}},
    }
    rows = {
        "pruned": {"member": "vtcnn2", "gain": 0.08},
        "pruned-again": {"after": "pruned"},
        "quantized": {"member": "vtcnn2", "blocks": 4},
        "quantized-again": {"after": "quantized"},
    }
    compression = {
        "name": "compression/toy",
        "about": "",
        "of": str(write(folder / "training.yaml", training)),
        "net_trim": {"frames": 60, "tolerance": 3e-3, "max_iterations": 3000, "keep_every": 5},
        "product_quantization": {"centroids": 32},
        "retrain": {"epochs": 3, "train_share": 0.9, "batch_size": 32, "learning_rate": 1e-3},
        "rows": rows,
        "budgets": {"smoke": {}, "reduced": {}},
    }
    path = write(folder / "compression.yaml", compression)
    work = folder / "work"
    assert main(["run", compression["of"], "--budget", "smoke", "--work", str(work)]) == 0
    return path, work


def arguments(trained, *more):
    path, work = trained
    return ["compress", str(path), "--budget", "smoke", "--work", str(work), *more]


def base(work):
    return work / "compression" / "toy-smoke"


@pytest.fixture(scope="module")
def records(trained):
    """The records of all rows, by name; made in one go."""
    assert main(arguments(trained)) == 0
    return {path.parent.name: read_record(path) for path in base(trained[1]).glob("*/record.json")}


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_records_say_what_the_files_are(records, trained):
    assert len(records) == 4
    for name, record in records.items():
        folder = base(trained[1]) / name
        layer, file = record["layer"], record["file"]
        assert file["bytes"] == (folder / f"{name}.onnx").stat().st_size
        assert file["factor"] == file["original_bytes"] / file["bytes"]
        assert file["difference"] == pytest.approx(file["factor"] / file["factor_claimed"] - 1)
        assert file["torch_difference"] < 1e-3
        assert record["difference"]["overall"] == pytest.approx(
            record["test"]["overall"] - record["original"]["overall"]
        )
        assert record["test"]["frames"] == record["original"]["frames"] == 11 * 2
        assert (record["row"], record["budget"]) == (name, "smoke")
        assert record["seed"] == 0 and record["hardware"] and record["git_rev"]
        for size in map(str, compress.BATCH_SIZES):
            assert record["speed"][size]["original"] > 0 < record["speed"][size]["ratio"]
        assert layer["factor"] == pytest.approx(4 * layer["weights"] / layer["bytes"])
        model = onnx.load(folder / f"{name}.onnx")
        assert sum(t.ByteSize() for t in model.graph.initializer) < file["bytes"]


def test_a_pruned_row_counts_every_byte(records, trained):
    record = records["pruned"]
    layer, admm = record["layer"], record["admm"]
    assert admm["converged"] and max(admm["primal"], admm["dual"]) <= 1.0
    assert admm["distance"] == pytest.approx(0.08, rel=0.05)
    assert layer["p_e"] == 1 - layer["nonzero"] / layer["weights"] > 0.3
    inputs = layer["inputs"]
    assert 256 < inputs < 65536
    # float32, a byte for one of 16 outputs and two for one of the inputs.
    assert layer["bytes"] == layer["nonzero"] * (4 + 1 + 2)
    arrays = np.load(base(trained[1]) / "pruned" / "layer.npz")
    assert np.count_nonzero(arrays["weight"]) == layer["nonzero"]
    assert not (base(trained[1]) / "pruned" / "admm.npz").exists()


def best_of(folder):
    """Tensors of the network as it was after the best epoch of its second training."""
    state = torch.load(folder / "retraining" / "best.ckpt", weights_only=False)["state_dict"]
    return {name.removeprefix("network."): value for name, value in state.items()}


def test_retraining_keeps_zeros_and_codes(records, trained):
    names = {"pruned": "hidden.weight", "quantized": "codes"}
    for name in names:
        before, after = records[name], records[f"{name}-again"]
        assert after["layer"] == before["layer"]
        assert "retrained" not in before and after["retrained"]["epochs"] == 3
        accuracies = after["retrained"]["accuracy"]
        assert accuracies[after["retrained"]["best_epoch"] - 1] == max(accuracies)
    of = {name: best_of(base(trained[1]) / f"{name}-again") for name in names}
    pruned = np.load(base(trained[1]) / "pruned" / "layer.npz")["weight"]
    np.testing.assert_array_equal(of["pruned"]["hidden.weight"].numpy() == 0, pruned == 0)
    assert (of["pruned"]["hidden.weight"].numpy() != pruned).any()
    stored = np.load(base(trained[1]) / "quantized" / "layer.npz")
    np.testing.assert_array_equal(of["quantized"]["hidden.codes"].numpy(), stored["codes"])
    np.testing.assert_array_equal(
        of["quantized"]["hidden.codebook"].numpy(), stored["codebook"].reshape(-1, 4)
    )
    # All else is trained.
    module = compress.open_run(trained[1] / "edge" / "toy-smoke" / "vtcnn2-s0")[0]
    for found in of.values():
        assert (found["head.weight"] != module.network.head.weight).any()


def test_a_quantized_row_has_the_formulas_rates(records):
    layer, file = records["quantized"]["layer"], records["quantized"]["file"]
    shape = (layer["inputs"], layer["outputs"], 4, 32)
    assert layer["c_q"] == compression_rate(*shape)
    # Codes are bytes, of which 32 centroids use five bits.
    assert layer["c_q_stored"] == layer["factor"] < compression_rate(*shape, bits=32)
    assert layer["bytes"] == 4 * 32 * layer["outputs"] + layer["inputs"] * 4
    network = networks.registry.create("vtcnn2", classes=11, frame_length=128, **SMALL["vtcnn2"])
    parameters = sum(p.numel() for p in network.parameters())
    weights = network.hidden.weight.numel()
    assert file["factor_claimed"] == file_rate(parameters, weights, layer["factor"])
    assert records["quantized"]["cut"] is None and "admm" not in records["quantized"]


def test_the_original_is_measured_anew_if_it_was_trained_anew(records, trained, tmp_path):
    path, work = elsewhere(trained, tmp_path)
    (work / "edge").unlink()
    shutil.copytree(trained[1] / "edge", work / "edge")
    assert main(arguments((path, work), "--only", "quantized")) == 0
    logits = base(work) / "original-vtcnn2" / "logits.npz"
    first = dict(np.load(logits))
    record = work / "edge" / "toy-smoke" / "vtcnn2-s0" / "record.json"
    record.write_text(record.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    np.savez(logits, **(first | {"logits": 0.0 * first["logits"]}))
    assert main(arguments((path, work), "--only", "quantized-again")) == 0
    np.testing.assert_array_equal(np.load(logits)["logits"], first["logits"])


@pytest.mark.parametrize("row", ["quantized", "pruned", "quantized-again"])
def test_a_row_does_not_go_on_with_a_member_that_was_trained_anew(
    records, trained, tmp_path, capsys, row
):
    """Its layer, and the rest trained around it, are of the weights before."""
    path, work = elsewhere(trained, tmp_path)
    (work / "edge").unlink()
    shutil.copytree(trained[1] / "edge", work / "edge")
    shutil.copytree(base(trained[1]), base(work))
    (base(work) / row / "record.json").unlink()
    (base(work) / row / "began.json").unlink()  # as of before such notes
    assert main(arguments((path, work), "--only", row)) == 0
    assert_same(base(work), row, records)
    (base(work) / row / "record.json").unlink()
    file = work / "edge" / "toy-smoke" / "vtcnn2-s0" / "best.ckpt"
    checkpoint = torch.load(file, weights_only=False)
    next(iter(checkpoint["state_dict"].values())).add_(1e-3)
    torch.save(checkpoint, file)
    assert main(arguments((path, work), "--only", row)) == 1
    assert "was trained anew" in capsys.readouterr().err


def elsewhere(trained, folder):
    """As ``trained``, with the networks and the data but no rows in ``folder``."""
    path, work = trained
    for shared in ("edge", "data"):
        (folder / shared).symlink_to(work / shared)
    return path, folder


def assert_same(folder, row, records):
    resumed, whole = read_record(folder / row / "record.json"), records[row]
    for key in ("layer", "test", "difference", "settings", "retrained"):
        assert resumed.get(key) == whole.get(key)
    if "admm" in whole:
        for key in ("iterations", "primal", "dual", "distance", "leak"):
            assert resumed["admm"][key] == whole["admm"][key]


def test_a_killed_row_goes_on_to_the_same_result(records, trained, tmp_path):
    other = elsewhere(trained, tmp_path)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kdamc_training.compression.compress"])
    process = context.Process(target=main, args=(arguments(other, "--only", "pruned"),))
    process.start()
    limit = time.monotonic() + PATIENCE
    saved = base(tmp_path) / "pruned" / "admm.npz"
    while not saved.is_file() and process.is_alive():
        assert time.monotonic() < limit, "nothing was saved"
        time.sleep(0.001)
    process.kill()
    process.join()
    assert saved.is_file(), f"exit status {process.exitcode}"
    assert not (base(tmp_path) / "pruned" / "layer.npz").exists()
    assert 0 < len(Progress.load(saved).primal) < records["pruned"]["admm"]["iterations"]
    assert main(arguments(other, "--only", "pruned")) == 0
    assert_same(base(tmp_path), "pruned", records)


@pytest.mark.parametrize("row", ["pruned-again", "quantized-again"])
def test_an_interrupted_retraining_goes_on_to_the_same_result(
    records, trained, tmp_path, monkeypatch, row
):
    other = elsewhere(trained, tmp_path)
    note = retrain._Accuracies.on_validation_end
    epochs = []

    def interrupted(self, trainer, module):
        epochs.append(trainer.current_epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        note(self, trainer, module)

    monkeypatch.setattr(retrain._Accuracies, "on_validation_end", interrupted)
    folder = base(tmp_path) / row
    with pytest.raises(SystemExit):
        main(arguments(other, "--only", row))
    saved = torch.load(folder / "retraining" / "last.ckpt", weights_only=False)
    assert len(saved["callbacks"]["_Accuracies"]["accuracy"]) == 1
    assert main(arguments(other, "--only", row)) == 0
    assert epochs == [0, 1, 1, 2], "the interrupted one again, and one more"
    # What a kill between the training and the record leaves is enough, too.
    (folder / "record.json").unlink()
    assert main(arguments(other, "--only", row)) == 0 and len(epochs) == 4
    assert_same(base(tmp_path), row, records)


def test_what_is_done_stays_and_other_settings_are_refused(
    records, trained, tmp_path, monkeypatch, capsys
):
    path, work = trained
    kept = base(work) / "pruned" / "record.json"
    before = kept.stat().st_mtime_ns
    assert main(arguments(trained, "--only", "pruned")) == 0
    assert kept.stat().st_mtime_ns == before
    shown = capsys.readouterr().out
    assert f"pruned: p_e {100 * records['pruned']['layer']['p_e']:.2f} %" in shown
    assert main(arguments(trained, "--only", "nothing")) == 1
    assert "no row 'nothing'" in capsys.readouterr().err
    assert main(arguments(trained, "--publish")) == 1
    assert "smoke mean nothing" in capsys.readouterr().err

    changed = yaml.safe_load(path.read_text(encoding="utf-8"))
    changed["net_trim"]["tolerance"] = 1e-2
    other = write(tmp_path / "changed.yaml", changed)
    assert main(arguments((other, work), "--only", "pruned")) == 1
    assert "holds a result of other settings" in capsys.readouterr().err
    changed["net_trim"]["frames"] = 10**6
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    elsewhere(trained, fresh)
    more = write(tmp_path / "more.yaml", changed)
    assert main(arguments((more, fresh), "--only", "pruned")) == 1
    assert "'net_trim.frames' is 1000000; there are" in capsys.readouterr().err


def test_a_file_of_the_same_content_is_no_other_setting():
    def trained_on(**data):
        return {"trained": {"data": {"file_sha256": "a", **data}}, "seed": 0}

    assert run_settings.same(trained_on(file="here.h5"), trained_on(file="there.h5"))
    assert not run_settings.same(trained_on(), trained_on(file_sha256="b"))


def test_records_are_published_in_their_place_and_not_over_others(
    records, trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(pipeline, "RESULTS", tmp_path / "results")
    loaded = compression_recipe.load(trained[0], "reduced")
    place = compress.results_path(loaded, "pruned")
    assert place == tmp_path / "results" / "compression" / "toy" / "reduced" / "pruned.json"
    _, work = elsewhere(trained, tmp_path)
    # What was done at smoke, where nothing is smaller, stands for it.
    for of in ("edge", "compression"):
        (trained[1] / of / "toy-reduced").unlink(missing_ok=True)
        (trained[1] / of / "toy-reduced").symlink_to(trained[1] / of / "toy-smoke")
    (work / "compression").symlink_to(trained[1] / "compression")
    write_record(place, {"settings": {}})
    with pytest.raises(UserError, match="is the record of other settings"):
        compress.run(loaded, "none", work=work, only=["pruned"], publish=True)
    place.unlink()
    compress.run(loaded, "none", work=work, only=["pruned"], publish=True)
    assert read_record(place) == records["pruned"]


@pytest.mark.parametrize("name", SMALL)
def test_cutting_what_is_not_used_changes_no_output(name, tmp_path):
    torch.manual_seed(0)
    module = untrained(name, SMALL[name], ["a", "b", "c"], 64)
    network = module.network
    maps = network.body(torch.zeros(1, 1, 2, 64)).shape[1:]
    weight = network.hidden.weight
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        used = weight.reshape(-1, *maps)
        used[:, 1] = 0.0
        used[:, 4] = 0.0
        used *= torch.rand(maps, generator=generator) < 0.5
        weight[[2, 7]] = 0.0
        network.hidden.bias[2], network.hidden.bias[7] = 3.0, -3.0
    found = structured.cut(network, 64)
    assert (found.outputs, found.channels) == (2, 2) and found.anything
    assert found.inputs == int((~weight.any(dim=0)).sum())
    assert found.network.hidden.weight.shape == (14, weight.shape[1] - found.inputs)
    iq = torch.randn(5, 2, 64, generator=generator)
    with torch.no_grad():
        expected = network.eval()(iq)
        torch.testing.assert_close(found.network(iq), expected, atol=1e-5, rtol=1e-5)
    assert (found.network.hidden.weight.numel() < weight.numel()) and network.head.in_features == 16
    module.network = found.network
    export(module, tmp_path / "cut.onnx")
    logits = open_model(str(tmp_path / "cut.onnx")).run(iq.numpy()).logits
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_a_layer_without_weights_leaves_the_biases(name):
    network = untrained(name, SMALL[name], ["a", "b", "c"], 64).network
    assert not structured.cut(network, 64).anything
    with torch.no_grad():
        network.hidden.weight.zero_()
    found = structured.cut(network, 64)
    assert found.outputs == 15
    iq = torch.randn(3, 2, 64)
    with torch.no_grad():
        torch.testing.assert_close(found.network(iq), network.eval()(iq))


def test_a_sparse_layer_is_as_small_as_its_coordinates(tmp_path):
    torch.manual_seed(0)
    module = untrained("vtcnn2", {"filters": [8, 40], "hidden": 256}, ["a", "b", "c"], 128)
    with torch.no_grad():
        weight = module.network.hidden.weight
        weight[torch.rand(weight.shape) < 0.95] = 0.0
    dense, sparse = tmp_path / "dense.onnx", tmp_path / "sparse.onnx"
    export(module, dense)
    layer = Coo.of(weight.detach().numpy())
    model = onnx.load(dense)
    onnx.save(store_sparse(model, "hidden.weight", layer), sparse)
    parameters = sum(p.numel() for p in module.network.parameters())
    claimed = file_rate(parameters, weight.numel(), 4 * weight.numel() / layer.nbytes)
    factor = dense.stat().st_size / sparse.stat().st_size
    assert claimed > 5 and factor == pytest.approx(claimed, rel=0.02)

    iq = np.random.default_rng(0).normal(size=(4, 2, 128)).astype(np.float32)
    shown = [session(path).run(None, {contract.INPUT_NAME: iq})[0] for path in (dense, sparse)]
    np.testing.assert_array_equal(*shown)
    # ONNX Runtime makes the layer dense when it opens the file.
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "opened.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(sparse), options, providers=["CPUExecutionProvider"])
    opened = onnx.load(options.optimized_model_filepath)
    assert "ScatterND" not in {node.op_type for node in opened.graph.node}

    # The form that ONNX itself has for it opens too, and is larger.
    own = onnx.ModelProto()
    own.CopyFrom(model)
    (tensor,) = [t for t in own.graph.initializer if t.name == "hidden.weight"]
    own.graph.initializer.remove(tensor)
    values = onnx.numpy_helper.from_array(layer.values, "hidden.weight")
    flat = np.flatnonzero(weight.detach().numpy()).astype(np.int64)
    indices = onnx.numpy_helper.from_array(flat, "hidden.weight.index")
    own.graph.sparse_initializer.append(
        onnx.helper.make_sparse_tensor(values, indices, list(layer.shape))
    )
    onnx.save(own, tmp_path / "own.onnx")
    (same,) = session(tmp_path / "own.onnx").run(None, {contract.INPUT_NAME: iq})
    np.testing.assert_array_equal(same, shown[0])
    assert (tmp_path / "own.onnx").stat().st_size > 1.5 * sparse.stat().st_size

    with pytest.raises(UserError, match="no initializer 'nothing'"):
        store_sparse(model, "nothing", layer)
    with pytest.raises(UserError, match=r"'head\.weight' is"):
        store_sparse(model, "head.weight", layer)


def test_a_file_that_is_not_the_network_is_found_out(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        module = untrained("vtcnn2", SMALL["vtcnn2"], ["a", "b", "c"], 64)
        export(module, tmp_path / "a.onnx")
    frames = torch.randn(6, 2, 64)
    assert compress.difference_from_torch(module, tmp_path / "a.onnx", frames) < 1e-4
    with torch.no_grad():
        module.network.head.bias[0] += 0.1
    with pytest.raises(RuntimeError, match=r"are off by 0\.1"):
        compress.difference_from_torch(module, tmp_path / "a.onnx", frames)
