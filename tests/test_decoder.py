"""The decoder: what it draws, its file, and the fitting of one."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load, save

from nca import (
    NCA,
    BadInput,
    CheckpointInfo,
    NCAConfig,
    Sharpener,
    TargetConfig,
    load_checkpoint,
    save_checkpoint,
)
from nca.cli import main
from nca.config import DecoderConfig, SharpenConfig
from nca.decoder import Decoder
from nca.decoder_file import DECODER, decoder_to_bytes
from nca.picture import PICTURE, at_scale, make_picture
from nca.resume import load_sharpening, save_sharpening
from nca.target import make_target

SMALL = DecoderConfig(hidden=(12,), patches=5, waves=4)
CACTUS = TargetConfig(emoji="🌵", size=8, padding=2)
CONFIG = SharpenConfig(decoder=SMALL, iterations=6, points=8)


@pytest.fixture(scope="module")
def nca():
    """Not trained: its last layer is random, so that it grows into something."""
    made = NCA(NCAConfig(channels=8, hidden=(16,)), init_seed=3)
    torch.nn.init.normal_(made.layers[-1].weight, std=0.1, generator=torch.manual_seed(1))
    return made


@pytest.fixture(scope="module")
def decoder(nca):
    made = Decoder(SMALL, nca.config, init_seed=5)
    torch.nn.init.normal_(made.basis, std=0.1, generator=torch.manual_seed(2))
    return made


@pytest.fixture(scope="module")
def state():
    """Faint colours, so that nothing is clipped; the rightmost columns are dead."""
    x = torch.rand(2, 9, 9, 8, generator=torch.manual_seed(4)) * 0.02
    x[..., 3] = 0.5
    x[:, :, 6:] = 0
    return x


def test_without_patches_it_interpolates_the_cells(nca, state):
    decoder = Decoder(SMALL, nca.config)
    torch.nn.init.zeros_(decoder.basis)
    x = state.flip(3) * 0.3 + 0.2
    x[..., 3] = 0.9
    planes = x[..., :4].permute(0, 3, 1, 2)
    for scale in (2, 3, 8):
        wanted = F.interpolate(planes, scale_factor=scale, mode="bilinear", align_corners=False)
        drawn = decoder.draw(nca, x, scale)
        assert drawn.shape == (2, 9 * scale, 9 * scale, 4) and drawn.dtype == torch.float32
        assert (drawn - wanted.permute(0, 2, 3, 1)).abs().max() < 1e-2
    assert torch.equal(decoder.draw(nca, x, 1), x[..., :4])


def test_an_automaton_in_float64_is_drawn_as_in_float32(nca, decoder, state):
    """Decoders are float32, whatever the states are."""
    wide = NCA(nca.config).double()
    wide.load_state_dict(nca.state_dict())
    drawn = decoder.draw(wide, state.double(), 4)
    assert drawn.dtype == torch.float32
    assert (drawn - decoder.draw(nca, state, 4)).abs().max() < 1e-5


def test_fewer_pixels_show_the_same_from_afar(nca, decoder, state):
    x = state.clone()
    x[..., :4] += torch.tensor([0.4, 0.4, 0.4, 0.1]) * (x[..., 3:4] > 0)
    weights, _ = decoder.cells(nca, x)
    assert weights.shape == (2, 9, 9, 9) and (weights[..., 8:, :] == 0).all()
    fine = decoder.table(16)
    for scale in (8, 4, 2):
        small = F.avg_pool2d(fine, 16 // scale)
        assert torch.allclose(small, decoder.table(scale), atol=1e-5)


def test_a_rotated_automaton_is_drawn_rotated(nca, decoder, state):
    straight = decoder.draw(nca, state, 8)
    for turns in (1, 2, 3):
        turned = decoder.draw(nca, state.rot90(turns, (1, 2)), 8, angle=turns * math.pi / 2)
        assert (turned - straight.rot90(turns, (1, 2))).abs().max() < 1e-4


def test_it_draws_valid_pictures_of_any_state(nca, decoder):
    x = torch.randn(1, 5, 7, 8) * 1e3
    x[0, 0, 0] = torch.nan
    drawn = decoder.draw(nca, x, 4)
    assert drawn.isfinite().all() and drawn.min() >= 0 and drawn.max() <= 1
    assert (drawn[..., :3] <= drawn[..., 3:]).all()
    assert not decoder.draw(nca, torch.zeros(1, 5, 5, 8), 4).any()
    for scale in (0, 17, 2.0, True):
        with pytest.raises(BadInput, match="whole number of pixels"):
            decoder.draw(nca, x, scale)
    for states in (x[..., :4], x.double()):
        with pytest.raises(BadInput, match=r"width, 8\]|torch.float64 on cpu"):
            decoder.draw(nca, states, 2)


@pytest.mark.parametrize(
    "config",
    [
        TargetConfig(emoji="🌵", size=16, padding=4),
        TargetConfig(emoji="🦎", size=24, padding=12),  # moved onto the seed
        TargetConfig(kind="image", size=20, padding=3, background="keep"),
    ],
)
def test_the_fine_picture_lies_on_the_cells(config):
    drawing = torch.zeros(60, 90, 4, dtype=torch.uint8)
    drawing[10:50, 20:80] = torch.tensor([200, 30, 60, 255])
    picture = None if config.kind == "emoji" else drawing.numpy()
    fine = make_picture(config, picture)
    scale = fine.shape[0] // config.grid
    assert fine.shape == (scale * config.grid, scale * config.grid, 4) and 2 <= scale <= 16
    coarse = at_scale(fine, (config.grid, config.grid), 1)
    assert (coarse - make_target(config, picture)).square().mean() < 1e-3


def test_a_checkpoint_keeps_decoder_and_picture(tmp_path, nca, decoder, state):
    fine = make_picture(CACTUS)
    folder = save_checkpoint(
        *(tmp_path / "c", nca, CheckpointInfo(target=CACTUS), make_target(CACTUS)),
        preview=False,
        decoder=decoder,
        picture=fine,
    )
    loaded = load_checkpoint(folder)
    assert loaded.picture.shape == (96, 96, 4) and loaded.picture_at(3).shape == (36, 36, 4)
    drawn = loaded.draw(state, scale=4)
    assert (drawn - decoder.draw(nca, state, 4)).abs().max() < 2e-3  # half precision
    other = NCA(nca.config)
    save_checkpoint(folder, other, preview=False)
    assert load_checkpoint(folder).decoder is None  # it was fitted to other weights
    squares = load_checkpoint(folder).draw(state, scale=2)
    assert torch.equal(squares[:, ::2, 1::2], state[..., :4])
    with torch.no_grad():
        decoder.layers[0].bias[0] = 1e9
        with pytest.raises(ValueError, match="not finite"):
            decoder_to_bytes(decoder, nca)
        decoder.layers[0].bias[0] = 0


def hostile(good):
    weights = load(good)
    text = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])["__metadata__"]
    yield good[:-2], "damaged"
    yield b"\x80\x04cposix\nsystem\n.", "damaged"
    yield save(weights), "damaged"
    yield good + b"\0" * 2**20, "larger than 1 MB"
    yield save({k: v.float() for k, v in weights.items()}, text), "float16"
    yield save(weights | {"basis": weights["basis"] * torch.inf}, text), "float16"
    yield save(weights | {"basis": weights["basis"][:, :3].contiguous()}, text), "does not fit"
    yield save(weights | {"more": weights["basis"].clone()}, text), "does not fit"
    about = json.loads(next(iter(text.values())))
    about["decoder"]["patches"] = 10**9
    yield save(weights, {next(iter(text)): json.dumps(about)}), "patches"


def test_a_bad_decoder_or_picture_is_refused(tmp_path, nca, decoder):
    target = make_target(CACTUS)
    folder = save_checkpoint(tmp_path, nca, CheckpointInfo(), target, preview=False)
    for data, words in hostile(decoder_to_bytes(decoder, nca)):
        (folder / DECODER).write_bytes(data)
        with pytest.raises(BadInput, match=words):
            load_checkpoint(folder)
    (folder / DECODER).unlink()
    for picture, words in ((b"GIF89a", "not a PNG"), (b"", "not a PNG")):
        (folder / PICTURE).write_bytes(picture)
        with pytest.raises(BadInput, match=words):
            load_checkpoint(folder)
    (folder / PICTURE).write_bytes((folder / "target.png").read_bytes()[:-40])
    with pytest.raises(BadInput, match="damaged"):
        _ = load_checkpoint(folder).picture
    for side in (100, 1100):
        with pytest.raises(BadInput, match="fine picture"):
            save_checkpoint(folder, nca, None, target, None, False, None, torch.ones(side, side, 4))


def test_fitting_resumes_where_it_was_stopped(tmp_path, nca):
    fine, size = make_picture(CACTUS), (12, 12)
    whole = Sharpener(nca, fine, size, CONFIG)
    reports = list(whole)
    assert [report.iteration for report in reports] == [1, 2, 3, 4, 5, 6]
    first = Sharpener(nca, fine, size, CONFIG)
    for _ in range(2):
        first.step()
    save_sharpening(first, tmp_path / "resume")
    second = Sharpener(nca, fine, size, CONFIG)
    assert load_sharpening(second, tmp_path / "resume") and second.iteration == 2
    list(second)
    for mine, other in zip(whole.decoder.parameters(), second.decoder.parameters(), strict=True):
        assert torch.equal(mine, other) and torch.equal(mine, mine.half().float())
    third = Sharpener(nca, fine, size, CONFIG, seed=1)
    assert not load_sharpening(third, tmp_path / "resume") and third.iteration == 0


def test_what_is_no_fine_picture_is_refused(nca):
    fine = make_picture(CACTUS)
    assert Sharpener(nca, fine, 12, CONFIG).size == (12, 12)
    for wrong in (fine.numpy(), fine.mul(255).byte(), fine * math.nan, fine[..., :3], fine + 1):
        with pytest.raises(BadInput, match="target"):
            Sharpener(nca, wrong, (12, 12), CONFIG)
    for size in (0, 1.5, (12,), None):
        with pytest.raises(BadInput, match="size"):
            Sharpener(nca, fine, size, CONFIG)


def test_each_kind_is_drawn_towards_its_own_picture():
    """On lives that are set to look like the targets at once."""
    made = CACTUS.model_copy(update={"more": ("🐠",)})
    nca = NCA(NCAConfig(channels=9, hidden=(8,), kinds=2))
    targets, pictures = make_target(made), make_picture(made)
    fitting = Sharpener(nca, pictures, (12, 12), SharpenConfig(iterations=60, points=32))
    assert fitting.iterations == 85 and len(fitting.lives) == 2
    grown = torch.cat([targets, targets.new_zeros(2, 12, 12, 5)], -1)
    grown[..., 8] = torch.tensor([1.0, 2.0])[:, None, None]
    for kind, lives in enumerate(fitting.lives):
        assert (lives.states[0, 6, 6, 8] == kind + 1) and len(lives) == 106
        lives.states[:] = grown[kind]
        lives.alive[:] = nca.alive(lives.states)
        lives.perceptions[:] = nca.perceive(lives.states).half()
        lives.reached[:] = True
    before = [
        float(fitting.decoder.draw(nca, x[None], 8).sub(p).square().mean())
        for x, p in zip(grown, at_scale(pictures, (12, 12), 8), strict=True)
    ]
    assert [report.iterations for report in fitting] == [85] * 85
    wanted = at_scale(pictures, (12, 12), 8)
    drawn = fitting.decoder.draw(nca, grown, 8)
    errors = (drawn[:, None] - wanted).square().mean((2, 3, 4))
    for kind in (0, 1):
        assert errors[kind, kind] < 0.7 * before[kind]
        assert errors[kind, kind] < 0.5 * errors[kind, 1 - kind]


def test_sharpen_on_the_command_line(tmp_path, nca, capsys):
    target = make_target(CACTUS)
    known = save_checkpoint(tmp_path / "a", nca, CheckpointInfo(target=CACTUS), target, None, False)
    assert main(["sharpen", str(known), "--iterations", "2"]) == 0
    for more in ([], ["--cells"]):
        film = tmp_path / "film.webp"
        words = ["--steps", "2", "--scale", "12", "--out", str(film), *more]
        assert main(["grow", str(known), *words]) == 0
        with Image.open(film) as picture:
            assert picture.size == (144, 144)
            colours = len(picture.convert("RGBA").getcolors(144 * 144))
        assert (colours > 150) == (not more)  # every cell has one colour, or many
    loaded = load_checkpoint(known)
    assert loaded.decoder is not None and loaded.picture_at(16).shape == (192, 192, 4)
    photo = CACTUS.model_copy(update={"kind": "image", "emoji": None})
    unknown = save_checkpoint(tmp_path / "b", nca, CheckpointInfo(target=photo), target, {}, False)
    assert main(["sharpen", str(unknown)]) == 2
    assert "fine picture of this checkpoint is not known" in capsys.readouterr().err
    other = CACTUS.model_copy(update={"emoji": "🌈"})
    wrong = save_checkpoint(tmp_path / "d", nca, CheckpointInfo(target=other), target, {}, False)
    assert main(["sharpen", str(wrong)]) == 2
    assert "something else" in capsys.readouterr().err
