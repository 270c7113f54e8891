"""Other programs' automata: each format written here, stepped by hand in float64, and refused."""

import base64
import json
import pickle
import zipfile
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from nca import load_foreign
from nca.checkpoint import load_checkpoint
from nca.cli import main
from nca.config import BadInput, Limits
from nca.fire import fire_mask, item_seeds

ROOT = Path(__file__).parents[1]
C, HIDDEN, SIDE = 6, 9, 11
ONE = np.float64([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
SOBEL_X = np.float64([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
NINE = np.float64([[1, 2, 1], [2, -12, 2], [1, 2, 1]])
FIVE = np.float64([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
USUAL = [ONE, SOBEL_X, SOBEL_X.T]


def draw(*shape, scale=0.4, seed=0):
    """Float32 numbers, so that a file holds them exactly."""
    return np.random.default_rng([seed, *shape]).normal(0, scale, shape).astype(np.float32)


# ---------------------------------------------------------------------------- by hand


def seen(image, kernel):
    """One channel [H, W] through one filter, zero beyond the border."""
    padded = np.pad(image, 1)
    out = np.zeros_like(image)
    for i, j in product(range(3), repeat=2):
        out += kernel[i, j] * padded[i : i + image.shape[0], j : j + image.shape[1]]
    return out


def alive(alpha, threshold):
    padded = np.pad(alpha, 1, constant_values=-np.inf)
    around = [
        padded[i : i + alpha.shape[0], j : j + alpha.shape[1]]
        for i, j in product(range(3), repeat=2)
    ]
    return np.max(around, axis=0) > threshold


def step_by_hand(
    x, columns, layers, fires, alpha=3, threshold=0.1, scale=1.0, pre=True, added=None
):
    """One step of [C, H, W], as the original program takes it.

    `columns` are (channel, filter) in the order of the first layer's inputs, `layers` are
    (weight [out, in], bias [out] or None), `added` is added to the perception.
    """
    perception = np.stack([seen(x[channel], kernel) for channel, kernel in columns])
    if added is not None:
        perception += added[:, None, None]
    for number, (weight, bias) in enumerate(layers):
        perception = np.einsum("oi,ihw->ohw", np.float64(weight), perception)
        if bias is not None:
            perception += np.float64(bias)[:, None, None]
        if number < len(layers) - 1:
            perception = np.maximum(perception, 0)
    grown = x + scale * perception * fires
    living = alive(grown[alpha], threshold)
    if pre:
        living &= alive(x[alpha], threshold)
    return grown * living


def assert_steps_alike(nca, columns, layers, channels=None, **rule):
    """Five steps from a random state; `channels` are the original's channels in our order."""
    count = len(layers[-1][0])
    there = list(range(count)) if channels is None else channels
    x = np.random.default_rng(1).normal(0, 0.5, (count, SIDE, SIDE + 2))
    x[:, :, :7] = 0  # dead, and farther than five steps reach
    ours = torch.from_numpy(x[there].transpose(1, 2, 0).copy())[None]
    double = nca.double()
    for t in range(5):
        fires = fire_mask(SIDE, SIDE + 2, t, item_seeds(0, 1), nca.config.fire_rate, "cpu")
        x = step_by_hand(x, columns, layers, fires[0].numpy(), **rule)
        ours = double.step(ours, t)
        assert np.abs(x).max() < 100
        np.testing.assert_allclose(ours[0].detach().numpy(), x[there].transpose(1, 2, 0), atol=3e-5)
    assert np.abs(x).max() > 0.01 and (x == 0).any()  # neither all dead nor all alive


def by_filter(bank, channels=C):
    return [(channel, kernel) for kernel in bank for channel in range(channels)]


def by_channel(bank, channels=C):
    return [(channel, kernel) for channel in range(channels) for kernel in bank]


# ---------------------------------------------------------------------------- files


def distill_layer(inputs, outputs, seed):
    data = np.random.default_rng(seed).integers(0, 256, (inputs + 1) * outputs, np.uint8).tobytes()
    text = base64.b64encode(data).decode()
    return {
        "data_b64": text, "in_ch": inputs, "out_ch": outputs, "weight_scale": 1.19,
        "bias_scale": 0.376, "type": "uint8",
    }  # fmt: skip


def distill_model(channels=C):
    return [distill_layer(3 * channels, HIDDEN, 1), distill_layer(HIDDEN, channels, 2)]


def unpacked(layer):
    """What ca.js makes of a layer: texels row by row, one row per input, the bias last."""
    data = base64.b64decode(layer["data_b64"])
    width = layer["out_ch"]
    weight = np.zeros((width, layer["in_ch"]))
    bias = np.zeros(width)
    for place, byte in enumerate(data):
        row, column = divmod(place, width)
        if row < layer["in_ch"]:
            weight[column, row] = (byte / 255 - 0.5) * layer["weight_scale"]
        else:
            bias[column] = (byte / 255 - 0.5) * layer["bias_scale"]
    return weight, bias


def torch_file(folder, arrays, kind="safetensors"):
    path = folder / f"model.{kind}"
    if kind == "npz":
        np.savez(path, **arrays)
    else:
        save_file({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}, path)
    return path


def two_layers(filters=3, channels=C, bias=True, seed=0):
    """Layers that grow a little, (weight, bias) each."""
    first = draw(HIDDEN, filters * channels, scale=0.2, seed=seed)
    last = draw(channels, HIDDEN, scale=0.2, seed=seed)
    biases = (draw(HIDDEN, seed=seed), draw(channels, scale=0.05, seed=seed))
    return [(first, biases[0]), (last, biases[1] if bias else None)]


def state_dict(layers, names=("fc0", "fc1"), conv=False):
    arrays = {}
    for name, (weight, bias) in zip(names, layers, strict=True):
        arrays[f"{name}.weight"] = weight[..., None, None] if conv else weight
        if bias is not None:
            arrays[f"{name}.bias"] = bias
    return arrays


# ---------------------------------------------------------------------------- what fits


def test_distills_json(tmp_path):
    path = tmp_path / "ex9_🐢.json"
    path.write_text(json.dumps(distill_model()))
    nca, info = load_foreign(path)
    assert info.title == "ex9_🐢" and info.target is None and info.nca == nca.config
    assert nca.config.hidden == (HIDDEN,) and nca.config.fire_rate == 0.5
    layers = [unpacked(layer) for layer in distill_model()]
    assert_steps_alike(nca, by_filter(USUAL), layers)
    with pytest.raises(BadInput, match="leave out --filters"):
        load_foreign(path, filters=("identity", "sobel_y", "sobel_x"))


@pytest.mark.parametrize("kind", ["safetensors", "npz"])
@pytest.mark.parametrize("conv", [False, True], ids=["linear", "conv"])
@pytest.mark.parametrize("order", ["channel", "filter"])
def test_a_state_dict_without_filters(tmp_path, kind, conv, order):
    layers = two_layers(bias=conv)
    path = torch_file(tmp_path, state_dict(layers, conv=conv), kind)
    unsaid = {"fire_rate": 0.75, "alive_threshold": 0.2, "alive_mask": "post", "step_size": 0.5}
    nca, info = load_foreign(path, order=order, seed_hidden=False, **unsaid)
    assert not info.nca.seed_hidden and info.nca.out_bias == conv
    columns = by_channel(USUAL) if order == "channel" else by_filter(USUAL)
    assert_steps_alike(nca, columns, layers, threshold=0.2, scale=0.5, pre=False)


def test_filters_by_name(tmp_path):
    layers = two_layers(filters=4)
    path = torch_file(tmp_path, state_dict(layers))
    with pytest.raises(BadInput, match=r"4 filters .* --filters"):
        load_foreign(path, order="channel")
    names = ("sobel_y", "identity", "nine_point", "sobel_x")
    nca, _ = load_foreign(path, order="channel", filters=names)
    assert nca.config.laplacian == "nine_point"
    assert_steps_alike(nca, by_channel([SOBEL_X.T, ONE, NINE / 8, SOBEL_X]), layers)


BANKS = {
    "as ours": (USUAL, "none", "fixed"),
    "not divided by 8": ([ONE, 8 * SOBEL_X, 8 * SOBEL_X.T], "none", "fixed"),
    "flipped, in another order": ([-SOBEL_X.T, -SOBEL_X, ONE], "none", "fixed"),
    "nine points over 16": ([*USUAL, NINE / 16], "nine_point", "fixed"),
    "five points": ([*USUAL, FIVE], "five_point", "fixed"),
    "five points, no Sobel": ([ONE, FIVE / 8], "five_point", "fixed"),
    "both Laplacians": ([ONE, FIVE / 8, NINE / 8], "none", "learned"),
    "anything": (list(draw(4, 3, 3)), "nine_point", "learned"),
    "one of anything": (list(draw(1, 3, 3)), "none", "learned"),
}


@pytest.mark.parametrize("name", BANKS)
def test_filters_in_the_file_grouped(tmp_path, name):
    bank, laplacian, perception = BANKS[name]
    layers = two_layers(filters=len(bank))
    grouped = np.tile(np.float32(bank), (C, 1, 1))[:, None]
    path = torch_file(tmp_path, state_dict(layers) | {"perceive.weight": grouped})
    nca, _ = load_foreign(path)  # the file says the order
    assert (nca.config.laplacian, nca.config.perception) == (laplacian, perception)
    assert_steps_alike(nca, by_channel(np.float64(np.float32(bank))), layers)
    if len(bank) > 1:
        with pytest.raises(BadInput, match="order is not filter"):
            load_foreign(path, order="filter")
    with pytest.raises(BadInput, match="leave out --filters"):
        load_foreign(path, filters=("identity", "sobel_x", "sobel_y"))


def test_filters_of_every_channel_learned_with_a_bias(tmp_path):
    layers = two_layers()
    kernels, added = draw(3 * C, 3, 3), draw(3 * C, seed=5)
    arrays = {"perceive.weight": kernels[:, None], "perceive.bias": added}
    nca, _ = load_foreign(torch_file(tmp_path, state_dict(layers) | arrays))
    assert nca.config.perception == "learned"
    columns = [(column // 3, np.float64(kernel)) for column, kernel in enumerate(kernels)]
    assert_steps_alike(nca, columns, layers, added=np.float64(added))


def test_the_state_itself_in_front_of_its_convolution(tmp_path):
    layers = two_layers()
    kernels = draw(2 * C, 3, 3)
    path = torch_file(tmp_path, state_dict(layers) | {"conv.weight": kernels[:, None]})
    columns = [(channel, ONE) for channel in range(C)]
    columns += [(column // 2, np.float64(kernel)) for column, kernel in enumerate(kernels)]
    assert_steps_alike(load_foreign(path)[0], columns, layers)


def test_one_convolution_per_filter(tmp_path):
    layers = two_layers()
    arrays = {
        name: np.tile(np.float32(kernel), (C, 1, 1, 1))
        for name, kernel in zip(("filter_0", "filter_1", "filter_2"), USUAL, strict=True)
    }
    nca, _ = load_foreign(torch_file(tmp_path, state_dict(layers) | arrays))
    assert nca.config.perception == "fixed"
    assert_steps_alike(nca, by_filter(USUAL), layers)


@pytest.mark.parametrize("shared", [True, False])
def test_separate_filters_come_in_the_published_order(tmp_path, shared):
    """Identity, gradients, Laplacian, whatever a file that sorts by name makes of it."""
    names, bank = ("state", "gx", "gy", "edges"), [*USUAL, NINE / 8]
    layers = two_layers(filters=4)
    arrays = {
        name: np.float32(kernel) if shared else np.tile(np.float32(kernel), (C, 1, 1, 1))
        for name, kernel in zip(names, bank, strict=True)
    }
    nca, _ = load_foreign(torch_file(tmp_path, state_dict(layers) | arrays), order="filter")
    assert_steps_alike(nca, by_filter(bank), layers)


@pytest.mark.parametrize("order", ["channel", "filter"])
def test_filters_that_all_channels_share(tmp_path, order):
    layers = two_layers()
    arrays = {"sobel_x": np.float32(SOBEL_X), "sobel_y": np.float32(SOBEL_X.T)}
    nca, _ = load_foreign(torch_file(tmp_path, state_dict(layers) | arrays), order=order)
    columns = by_channel(USUAL) if order == "channel" else by_filter(USUAL)
    assert_steps_alike(nca, columns, layers)


def test_layers_follow_by_number_or_by_shape(tmp_path):
    widths = [(7, 3 * C), (7, 7), (7, 7), (C, 7)]
    layers = [(draw(*shape, seed=n), draw(shape[0], seed=n)) for n, shape in enumerate(widths)]
    names = ["net.2", "net.9", "net.10", "net.11"]  # by text 10 would be first
    nca, _ = load_foreign(torch_file(tmp_path, state_dict(layers, names)), order="filter")
    assert nca.config.hidden == (7, 7, 7)
    assert_steps_alike(nca, by_filter(USUAL), layers)
    layers = two_layers()
    nca, _ = load_foreign(torch_file(tmp_path, state_dict(layers, ["z", "a"])), order="filter")
    assert_steps_alike(nca, by_filter(USUAL), layers)
    layers = [(draw(C, 3 * C), None), (draw(C, C, seed=1), None), (draw(C, C, seed=2), None)]
    mixed = state_dict(layers, ["b", "a", "c"])
    with pytest.raises(BadInput, match="do not follow each other in one way"):
        load_foreign(torch_file(tmp_path, mixed), order="filter")


CAX_BANK = [ONE, SOBEL_X.T, SOBEL_X]  # identity_kernel, then grad_kernel along each axis


@pytest.mark.parametrize("perceives", ["said", "unsaid", "learned"])
@pytest.mark.parametrize("kind", ["safetensors", "npz"])
def test_cax(tmp_path, perceives, kind):
    layers = two_layers()
    arrays = {}
    for number, (weight, bias) in enumerate(layers):
        kernel = weight.T[None, None] if number == 0 else weight.T
        arrays[f"update/layers/{number}/kernel"] = kernel
        arrays[f"update/layers/{number}/bias"] = bias
    bank = draw(3, 3, 3) if perceives == "learned" else np.float32(CAX_BANK)
    if perceives != "unsaid":
        shape = np.tile(bank, (C, 1, 1)).transpose(1, 2, 0)[:, :, None]
        arrays["perceive/conv/kernel"] = shape
    separator = {"safetensors": ".", "npz": "/"}[kind]
    arrays = {name.replace("/", separator): value for name, value in arrays.items()}
    nca, info = load_foreign(torch_file(tmp_path, arrays, kind))
    assert not info.nca.seed_hidden and "CAX" in info.recipe
    assert nca.config.perception == ("learned" if perceives == "learned" else "fixed")
    # RGBA are the last four there. Its dropout divides what it keeps by the share it keeps.
    columns = by_channel(np.float64(bank))
    assert_steps_alike(nca, columns, layers, channels=[2, 3, 4, 5, 0, 1], alpha=5, scale=2)
    every, _ = load_foreign(torch_file(tmp_path, arrays, kind), fire_rate=1)
    assert_steps_alike(every, columns, layers, channels=[2, 3, 4, 5, 0, 1], alpha=5)


def test_names_of_earlier_versions_of_flax(tmp_path):
    (first, bias), (last, _) = two_layers(bias=False)
    arrays = {"l.0.kernel.value": first.T, "l.0.bias.value": bias, "l.1.kernel.value": last.T}
    nca, _ = load_foreign(torch_file(tmp_path, arrays))
    layers = [(first, bias), (last, None)]
    columns = by_channel(CAX_BANK)
    assert_steps_alike(nca, columns, layers, channels=[2, 3, 4, 5, 0, 1], alpha=5, scale=2)


# ---------------------------------------------------------------------------- the order


@pytest.mark.parametrize("order", ["channel", "filter"])
def test_auto_finds_the_order_that_grows(tmp_path, order):
    lizard = load_checkpoint(ROOT / "checkpoints" / "lizard-growing").nca  # has no Laplacian
    arrays = {name: value.numpy() for name, value in lizard.state_dict().items()}
    if order == "channel":
        first = arrays["layers.0.weight"]
        turned = first.reshape(len(first), 3, 16).transpose(0, 2, 1).reshape(first.shape)
        arrays["layers.0.weight"] = turned
    nca, _ = load_foreign(torch_file(tmp_path, arrays))
    for name, value in lizard.state_dict().items():
        assert torch.equal(value, nca.state_dict()[name])


def test_auto_asks_when_both_or_neither_grow(tmp_path):
    layers = two_layers()
    idle = [layers[0], (np.zeros_like(layers[1][0]), None)]
    with pytest.raises(BadInput, match="both ways .* --order channel"):
        load_foreign(torch_file(tmp_path, state_dict(idle)))
    dying = [layers[0], (layers[1][0] * 0, np.float32([0, 0, 0, -1, 0, 0]))]
    filling = [layers[0], (layers[1][0] * 0, np.float32([0, 0, 0, 0.5, 0, 0]))]
    for neither in (dying, filling):
        with pytest.raises(BadInput, match="neither way"):
            load_foreign(torch_file(tmp_path, state_dict(neither)))


# ---------------------------------------------------------------------------- refusals


def refused(path, **options):
    with pytest.raises(BadInput) as refusal:
        load_foreign(path, **{"order": "filter"} | options)
    said = str(refusal.value)
    assert said.endswith(".") and "\n" not in said and len(said) < 320, said
    return said


@pytest.mark.parametrize("kind", ["pt", "pth", "PT", "ckpt", "bin"])
def test_pickles_are_not_read(tmp_path, kind):
    path = tmp_path / f"model.{kind}"
    path.write_bytes(pickle.dumps({"fc0.weight": [1.0]}))
    said = refused(path)
    assert "run any code" in said and "safetensors.torch.save_file" in said
    for other in ("npz", "safetensors", "json"):
        refused(path.rename(path.with_suffix(f".{other}")))
        path = path.with_suffix(f".{other}")


def test_objects_in_an_npz_are_not_read(tmp_path):
    path = tmp_path / "model.npz"
    arrays = state_dict(two_layers()) | {"more": np.array([{"a": 1}], object)}
    np.savez(path, **arrays)
    assert "Python objects" in refused(path)


def other_layer(**changes):
    model = distill_model()
    model[1] |= changes
    return model


@pytest.mark.parametrize(
    "model",
    [
        [], {}, None, [1, 2], distill_model()[:1], distill_model() + distill_model()[:1],
        other_layer(type="float32"), other_layer(out_ch=C + 1), other_layer(in_ch="9"),
        other_layer(data_b64="!" * 80), other_layer(data_b64=""), other_layer(evil=1),
        other_layer(weight_scale=float("nan")), other_layer(weight_scale=float("inf")),
        other_layer(bias_scale=-1.0), other_layer(weight_scale=1e30), other_layer(in_ch=2**40),
        [distill_layer(3 * C + 3, HIDDEN, 1), distill_layer(HIDDEN, C, 2)],
        [distill_layer(9, HIDDEN, 1), distill_layer(HIDDEN, 3, 2)],  # RGB without alpha
    ],
)  # fmt: skip
def test_json_that_is_something_else(tmp_path, model):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(model))
    refused(path)


def odd_arrays():
    good = state_dict(two_layers())
    nan = good["fc1.weight"].copy()
    nan[0, 0] = np.nan
    kernels = draw(3 * C, 1, 3, 3)
    yield "empty", {}
    yield "one layer", {"fc0.weight": good["fc0.weight"]}
    yield "unknown name", good | {"mean": draw(3)}
    yield "left over", good | {"norm.bias": draw(3)}
    yield "wrong bias", good | {"fc0.bias": draw(HIDDEN + 1)}
    yield "nan", good | {"fc1.weight": nan}
    yield "huge", good | {"fc1.weight": good["fc1.weight"] * 1e30}
    yield "integers", good | {"count": np.array([3])}
    yield "no chain", good | {"fc1.weight": draw(C, HIDDEN + 1)}
    yield "wide kernel", good | {"fc1.weight": draw(C, HIDDEN, 3, 3)}
    yield "dense perception", good | {"perceive.weight": draw(3 * C, C, 3, 3)}
    yield "many channels", state_dict(two_layers(channels=40))
    yield "few channels", state_dict(two_layers(channels=3))
    yield "wide", {"a.weight": draw(1100, 12), "b.weight": draw(4, 1100)}
    yield "deep", state_dict([(draw(12, 12, seed=n), None) for n in range(6)], "abcdef")
    yield "many", good | {f"x{n}.weight": draw(3, 3) for n in range(30)}
    yield "filters that do not fit", good | {"perceive.weight": kernels[:-1]}
    yield "filters too many", good | {"perceive.weight": draw(7, 1, 3, 3)}
    yield "their bias", good | {"p.weight": kernels, "p.bias": draw(2)}
    yield "scalar", good | {"x.weight": np.float32(3)}
    yield "no numbers", good | {"x.weight": np.zeros((0, 3), np.float32)}
    yield "cax mixed", good | {"layers.0.kernel": draw(3, 3)}
    yield "five learned", state_dict(two_layers(filters=5)) | {"p.weight": draw(5 * C, 1, 3, 3)}


@pytest.mark.parametrize("kind", ["safetensors", "npz"])
@pytest.mark.parametrize("arrays", [pytest.param(a, id=n) for n, a in odd_arrays()])
def test_arrays_that_are_something_else(tmp_path, arrays, kind):
    refused(torch_file(tmp_path, arrays, kind))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fire_rate": 2.0}, "fire_rate"),
        ({"alive_threshold": -1.0}, "alive_threshold"),
        ({"step_size": float("nan")}, "step_size"),
        ({"alive_mask": "sometimes"}, "alive_mask"),
        ({"filters": ("identity", "sobel_x", "blur")}, "no filter 'blur'"),
        ({"filters": ("identity",)}, "3 filters"),
        ({"order": "sideways"}, "order from auto, channel, filter"),
        ({"kinds": 2}, "no setting called kinds"),
        ({"perception": "learned"}, "no setting called perception"),
        ({"limits": Limits(checkpoint_bytes=1024)}, "larger than 1 kB"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, said):
    assert said in refused(torch_file(tmp_path, state_dict(two_layers())), **options)


def test_files_that_are_not_there_or_ours(tmp_path):
    assert "no file" in refused(tmp_path / "none.npz")
    (tmp_path / "folder.npz").mkdir()
    assert "is a folder" in refused(tmp_path / "folder.npz")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    refused(tmp_path / "zero.json")
    assert "ends in" in refused(ROOT / "README.md")
    ours = ROOT / "checkpoints" / "lizard-regenerating" / "model.safetensors"
    assert "checkpoint of NCA Garden" in refused(ours)


def test_a_name_with_thousands_of_digits(tmp_path):
    arrays = state_dict(two_layers(), ("1" * 5000, "2" * 5000))
    nca, _ = load_foreign(torch_file(tmp_path, arrays), order="filter")
    assert torch.equal(nca.layers[0].bias, torch.from_numpy(arrays["1" * 5000 + ".bias"]))


@pytest.mark.parametrize(("kind", "size"), [("F8_E4M3", 16), ("F4", 8), ("BOOL", 16)])
def test_numbers_of_too_few_bits(tmp_path, kind, size):
    about = {"a.weight": {"dtype": kind, "shape": [4, 4], "data_offsets": [0, size]}}
    header = json.dumps(about).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    refused(path)


def npz(entries, compression=zipfile.ZIP_STORED):
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(header, body=b""):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        npz([("a.weight.npy", b"\0" * 2**21)], zipfile.ZIP_DEFLATED),  # a small bomb
        npz([("a.weight.npy", b"\0" * 600_000), ("b.npy", b"\0" * 600_000)], zipfile.ZIP_DEFLATED),
        npz([("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (10**12,), }"))]),
        npz(
            [("a.npy", npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**12},), }}"))]
        ),
        npz([("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1), }"))]),
        npz(
            [("a.npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\0" * 8))]
        ),
        npz([("a.npy", npy("[" * 100))]),
        npz([("a.npy", npy("__import__('os').abort()"))]),
        npz([("a.npy", b"\x93NUMPY\x09\x00")]),
    ],
)
def test_hostile_npz(tmp_path, data):
    path = tmp_path / "model.npz"
    path.write_bytes(data)
    refused(path)


@pytest.fixture(scope="module")
def good_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    arrays = state_dict(two_layers())
    (folder / "model.json").write_text(json.dumps(distill_model()))
    return [torch_file(folder, arrays, kind) for kind in ("npz", "safetensors")] + [
        folder / "model.json"
    ]


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_are_read_or_refused_in_one_sentence(good_files, tmp_path_factory, data):
    good = data.draw(st.sampled_from(good_files))
    content = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    path = tmp_path_factory.getbasetemp() / f"damaged{good.suffix}"
    path.write_bytes(content)
    try:
        nca, _ = load_foreign(path, order="filter")
        assert all(bool(value.isfinite().all()) for value in nca.state_dict().values())
    except BadInput as refusal:
        said = str(refusal)
        assert said.endswith(".") and "\n" not in said and len(said) < 320, said


# ---------------------------------------------------------------------------- the command


def test_the_command_writes_a_checkpoint_that_grows(tmp_path, capsys):
    path = torch_file(tmp_path, state_dict(two_layers()))
    out = tmp_path / "out"
    arguments = ["import", str(path), "--out", str(out), "--title", "Theirs", "--order", "filter"]
    arguments += ["--filters", "identity, sobel_y, sobel_x", "--no-seed-hidden"]
    arguments += ["--threshold", "0.3", "--fire-rate", "0.7"]
    assert main(arguments) == 0
    assert "python -m nca grow" in capsys.readouterr().out
    loaded = load_checkpoint(out)
    assert loaded.info.title == "Theirs" and loaded.target is None and loaded.size == (72, 72)
    assert loaded.nca.config.alive_threshold == 0.3 and loaded.nca.config.fire_rate == 0.7
    assert not loaded.nca.config.seed_hidden and (out / "preview.gif").is_file()
    assert "preview.gif" in (text := (out / "README.md").read_text()) and "target.png" not in text
    film = ["grow", str(out), "--steps", "3", "--size", "16", "--out", str(tmp_path / "film.gif")]
    assert main(film) == 0
    assert main(arguments) == 2
    assert "is there already" in capsys.readouterr().err


def test_the_command_says_how_to_convert_a_pickle(tmp_path, capsys):
    (tmp_path / "model.pt").write_bytes(b"PK")
    assert main(["import", str(tmp_path / "model.pt"), "--out", str(tmp_path / "out")]) == 2
    assert "save_file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
