"""Demonstrations open whole, or fail with one sentence that says where, what and what to do."""

import hashlib
import io
import json
import pickle
import stat
import warnings
import zipfile
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from pusht import demos
from pusht.demos import stored

STATE, ACTION, ENDS = "data/state", "data/action", "meta/episode_ends"


def tiny_arrays() -> dict[str, np.ndarray]:
    """Seven steps in two episodes, every value another."""
    return {
        STATE: np.arange(35, dtype=np.float32).reshape(7, 5) + 0.5,
        ACTION: np.arange(14, dtype=np.float32).reshape(7, 2) + 100.5,
        ENDS: np.array([3, 7], dtype=np.int64),
    }


def write_set(
    folder: Path, zarr_format: int = 2, without: tuple[str, ...] = (), **changed: np.ndarray
) -> Path:
    """A tiny set as a Zarr folder; `changed` replaces arrays by the last part of their names."""
    group = zarr.open_group(folder, mode="w", zarr_format=zarr_format)
    for name, values in tiny_arrays().items():
        values = changed.get(name.split("/")[1], values)
        if name not in without:
            chunks = (max(1, min(4, values.shape[0])), *values.shape[1:])
            group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=chunks)[...] = (
                values
            )
    return folder


def zip_bytes(folder: Path, prefix: str = "") -> bytes:
    """A zip of the folder's contents, each name behind `prefix`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return buffer.getvalue()


def write_zip(path: Path, folder: Path, prefix: str = "") -> Path:
    path.write_bytes(zip_bytes(folder, prefix))
    return path


def assert_tiny(opened: demos.Demonstrations) -> None:
    arrays = opened.states, opened.actions, opened.episode_ends
    for values, expected in zip(arrays, tiny_arrays().values(), strict=True):
        assert values.dtype == expected.dtype
        np.testing.assert_array_equal(values, expected)


def refusal(path: Path, *words: str) -> str:
    """The one sentence with which `path` is refused; it names the path and holds `words`."""
    with pytest.raises(demos.DemosError) as caught:
        demos.open(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    rest = message.removeprefix(str(path))
    assert rest.endswith(".") and "\n" not in rest and ": " in rest, message
    for word in words:
        assert word in rest, message
    return message


# The human set.


def test_human_set_decodes_to_the_published_values(demos_path):
    opened = demos.open(demos_path)
    assert opened.states.shape == (25650, 5) and opened.states.dtype == np.float32
    assert opened.actions.shape == (25650, 2) and opened.actions.dtype == np.float32
    assert opened.num_episodes == 206 and opened.episode_ends.dtype == np.int64
    digests = [
        hashlib.sha256(a.tobytes()).hexdigest()
        for a in (opened.states, opened.actions, opened.episode_ends)
    ]
    assert digests == [
        "dcdc539bfdba9fc01cba8d2fe91cc580539ec046a88b0ffbe91be5511948d4dc",
        "6691b085749144b8db1aede97a80fb380afd08953fcd03660b441d0ffe9d6a8f",
        "82db02e667c59a83fedb211ab9b84182591b75009df1385210d5235197f93d72",
    ]
    # Handed-in work carries this fingerprint, so it must never come out otherwise.
    assert opened.fingerprint == "075737a7b11153fece07a69e466091744847454da79e52753228011b11dd3e62"
    assert demos.name_of(opened.fingerprint) == "human"


def test_human_set_is_the_same_from_a_folder_a_nested_zip_and_a_root_zip(demos_path, tmp_path):
    with zipfile.ZipFile(demos_path) as archive:
        archive.extractall(tmp_path / "unpacked")
    (folder,) = (tmp_path / "unpacked").rglob("*.zarr")
    nested = write_zip(tmp_path / "nested.zip", folder, "pusht/pusht_cchi_v7_replay.zarr/")
    root = write_zip(tmp_path / "pusht_cchi_v7_replay.zarr.zip", folder)
    fingerprints = {
        demos.open(path).fingerprint
        for path in (demos_path, folder, tmp_path / "unpacked", nested, root)
    }
    assert len(fingerprints) == 1


# Every layout.


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("inner", ["", "set.zarr/", "pusht/set.zarr/"])
def test_a_set_opens_at_the_root_and_one_or_two_levels_down(tmp_path, zarr_format, inner):
    folder = write_set(tmp_path / "folder" / inner, zarr_format)
    archive = write_zip(tmp_path / "set.zip", folder, inner)
    assert_tiny(demos.open(tmp_path / "folder"))
    assert_tiny(demos.open(archive))
    assert_tiny(demos.open(str(archive)))


def test_a_zip_made_without_the_hidden_file_at_the_root_opens(tmp_path):
    folder = write_set(tmp_path / "set.zarr")
    (folder / ".zgroup").unlink()  # what `zip -r set.zip *` leaves behind
    assert_tiny(demos.open(write_zip(tmp_path / "set.zip", folder)))


def test_sharded_arrays_open_and_a_missing_shard_is_noticed(tmp_path):
    group = zarr.open_group(tmp_path / "set.zarr", mode="w", zarr_format=3)
    for name, values in tiny_arrays().items():
        rest = values.shape[1:]
        array = group.create_array(
            name, shape=values.shape, dtype=values.dtype, chunks=(2, *rest), shards=(4, *rest)
        )
        array[...] = values
    assert_tiny(demos.open(tmp_path / "set.zarr"))
    (tmp_path / "set.zarr/data/state/c/1/0").unlink()
    refusal(tmp_path / "set.zarr", f"lacks chunk c/1/0 of {STATE}")


def test_other_number_types_are_converted(tmp_path):
    arrays = tiny_arrays()
    folder = write_set(
        tmp_path / "set.zarr",
        state=arrays[STATE].astype(">f8"),
        action=np.arange(14, dtype=np.int16).reshape(7, 2),
        episode_ends=arrays[ENDS].astype(np.uint32),
    )
    opened = demos.open(folder)
    np.testing.assert_array_equal(opened.states, arrays[STATE])
    np.testing.assert_array_equal(opened.actions, np.arange(14).reshape(7, 2))
    assert (opened.states.dtype, opened.actions.dtype, opened.episode_ends.dtype) == (
        np.float32,
        np.float32,
        np.int64,
    )


def test_opening_writes_nothing_and_says_nothing(tmp_path, capfd):
    folder = write_set(tmp_path / "set.zarr")
    (folder / "data/state/zarr.json").write_bytes(
        (write_set(tmp_path / "other.zarr", 3) / "data/state/zarr.json").read_bytes()
    )
    (folder / "data/state/c").mkdir()
    for i in (0, 1):  # an array in both formats at once makes zarr warn
        (folder / f"data/state/c/{i}").mkdir()
        (folder / f"data/state/c/{i}/0").write_bytes(
            (tmp_path / f"other.zarr/data/state/c/{i}/0").read_bytes()
        )
    archive = write_zip(tmp_path / "set.zip", folder)
    with warnings.catch_warnings(), zipfile.ZipFile(archive, "a") as again:
        warnings.simplefilter("ignore")
        again.write(
            folder / ".zgroup", ".zgroup"
        )  # an entry twice, as zarr's own ZipStore makes them
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_tiny(demos.open(folder))
        assert_tiny(demos.open(archive))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert capfd.readouterr() == ("", "")


def test_load_pusht_zarr_returns_the_three_arrays(tmp_path):
    assert_tiny(demos.Demonstrations(*demos.load_pusht_zarr(write_set(tmp_path / "set.zarr"))))


# Episodes and the fingerprint.


def test_episodes_partition_the_steps():
    opened = demos.Demonstrations(*tiny_arrays().values())
    states, actions = zip(*(opened.episode(i) for i in range(opened.num_episodes)), strict=True)
    assert [len(s) for s in states] == [3, 4]
    np.testing.assert_array_equal(np.concatenate(states), opened.states)
    np.testing.assert_array_equal(np.concatenate(actions), opened.actions)
    for outside in (-1, 2):
        with pytest.raises(IndexError):
            opened.episode(outside)


@given(
    st.sampled_from(
        [(name, i) for name, values in tiny_arrays().items() for i in range(values.size)]
    )
)
def test_fingerprint_changes_with_any_single_value(place):
    name, i = place
    arrays = tiny_arrays()
    original = demos.Demonstrations(*arrays.values()).fingerprint
    flat = arrays[name].reshape(-1)
    flat[i] = flat[i] + 1 if name == ENDS else np.nextafter(flat[i], np.float32(np.inf))
    assert demos.Demonstrations(*arrays.values()).fingerprint != original


def test_fingerprint_sees_values_and_not_memory_layout():
    state, action, ends = tiny_arrays().values()
    original = demos.Demonstrations(state, action, ends).fingerprint
    assert (
        demos.Demonstrations(np.asfortranarray(state), action.astype(">f4"), ends).fingerprint
        == original
    )
    assert demos.Demonstrations(state.reshape(5, 7), action, ends).fingerprint != original


# Which path.


def test_no_path_means_the_one_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHT_DEMOS", str(write_set(tmp_path / "set.zarr")))
    assert_tiny(demos.open())
    monkeypatch.setenv("PUSHT_DEMOS", str(tmp_path / "nowhere.zip"))
    with pytest.raises(
        demos.DemosError, match=r"nowhere\.zip \(named by PUSHT_DEMOS\) does not exist"
    ):
        demos.open()


@pytest.mark.parametrize("value", [None, "", "shipped"])
def test_nothing_named_means_the_shipped_set(tmp_path, monkeypatch, value):
    monkeypatch.delenv("PUSHT_DEMOS", raising=False)
    if value is not None:
        monkeypatch.setenv("PUSHT_DEMOS", value)
    monkeypatch.setattr(demos, "SHIPPED", tmp_path / "set.zip")
    with pytest.raises(
        demos.DemosError,
        match=r"shipped demonstrations are not at .*set\.zip: fetch the kit again, or .*\.",
    ):
        demos.open()
    write_zip(tmp_path / "set.zip", write_set(tmp_path / "set.zarr"))
    assert_tiny(demos.open())
    assert_tiny(demos.open("shipped"))


def test_a_path_called_like_a_name_is_opened_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(write_set(tmp_path / "human").parent)
    assert_tiny(demos.open("./human"))
    assert_tiny(demos.open(Path("human")))


def test_the_sets_with_names_are_known_by_their_fingerprints(monkeypatch):
    monkeypatch.setattr(demos, "SHIPPED_FINGERPRINT", "5" * 64)
    assert [demos.name_of(f) for f in (demos.HUMAN_FINGERPRINT, "5" * 64, "6" * 64)] == [
        "human",
        "shipped",
        None,
    ]


def test_a_home_path_is_expanded(tmp_path, monkeypatch):
    write_set(tmp_path / "set.zarr")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert_tiny(demos.open("~/set.zarr"))


# Sets that are wrong.


def with_value(name: str, i: int, value: float, dtype: type = np.float32) -> dict[str, np.ndarray]:
    values = tiny_arrays()[name].astype(dtype)
    values[i, 0] = value
    return {name.split("/")[1]: values}


WRONG_VALUES = {
    "text states": ({"state": np.full((7, 5), "x")}, [STATE, "<U1", "not numbers"]),
    "boolean actions": ({"action": np.ones((7, 2), bool)}, [ACTION, "bool", "not numbers"]),
    "complex states": ({"state": np.ones((7, 5), complex)}, [STATE, "complex128", "not numbers"]),
    "fractional ends": ({"episode_ends": np.array([3.0, 7.0])}, [ENDS, "float64", "not integers"]),
    "four columns of state": ({"state": np.ones((7, 4), np.float32)}, [STATE, "(7, 4)", "(N, 5)"]),
    "flat states": ({"state": np.ones(35, np.float32)}, [STATE, "(35,)", "(N, 5)"]),
    "three columns of action": (
        {"action": np.ones((7, 3), np.float32)},
        [ACTION, "(7, 3)", "(N, 2)"],
    ),
    "a table of ends": ({"episode_ends": np.array([[3, 7]])}, [ENDS, "(1, 2)", "(E,)"]),
    "no states": ({"state": np.ones((0, 5), np.float32)}, [STATE, "nothing"]),
    "no ends": ({"episode_ends": np.array([], np.int64)}, [ENDS, "nothing"]),
    "NaN in states": (with_value(STATE, 4, np.nan), [STATE, "NaN or infinity", "step 4"]),
    "infinity in actions": (with_value(ACTION, 2, -np.inf), [ACTION, "NaN or infinity", "step 2"]),
    "more than float32 holds": (
        with_value(STATE, 1, 1e300, np.float64),
        [STATE, "NaN or infinity", "step 1"],
    ),
    "fewer actions": ({"action": np.ones((6, 2), np.float32)}, ["7 states", "6 actions"]),
    "ends that fall": ({"episode_ends": np.array([5, 3, 7])}, [ENDS, "rise"]),
    "ends that stay": ({"episode_ends": np.array([3, 3, 7])}, [ENDS, "rise"]),
    "an end at zero": ({"episode_ends": np.array([0, 7])}, [ENDS, "rise"]),
    "ends that wrap around": ({"episode_ends": np.array([1, 2**63 - 1, -5, 7])}, [ENDS, "rise"]),
    "ends short of N": ({"episode_ends": np.array([3, 6])}, ["last episode at 6", "7 steps"]),
    "ends past N": ({"episode_ends": np.array([3, 8])}, ["last episode at 8", "7 steps"]),
}


@pytest.mark.parametrize("changed, words", WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_wrong_values_are_named(tmp_path, changed, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr remarks on writing text
        folder = write_set(tmp_path / "set.zarr", **changed)
    refusal(folder, *words, "give the path of a whole set")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", [STATE, ACTION, ENDS])
def test_a_missing_array_is_named(tmp_path, name, zarr_format):
    folder = write_set(tmp_path / "set.zarr", zarr_format, without=(name,))
    refusal(folder, f"no array {name}")
    refusal(write_zip(tmp_path / "set.zip", folder, "pusht/"), f"no array {name}")


@pytest.mark.parametrize("zarr_format, chunk", [(2, "1.0"), (3, "c/1/0")])
def test_a_missing_chunk_is_no_zeros(tmp_path, zarr_format, chunk):
    folder = write_set(tmp_path / "set.zarr", zarr_format)
    (folder / STATE / chunk).unlink()
    refusal(folder, f"lacks chunk {chunk} of {STATE}", "fetch")


@pytest.mark.parametrize(
    "content", [b"", b"not compressed at all", None], ids=["empty", "rubbish", "half"]
)
@pytest.mark.parametrize("zarr_format, chunk", [(2, "1.0"), (3, "c/1/0")])
def test_a_broken_chunk_is_named(tmp_path, zarr_format, chunk, content):
    file = write_set(tmp_path / "set.zarr", zarr_format) / ACTION / chunk
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    refusal(tmp_path / "set.zarr", f"broken chunk in {ACTION}", "fetch")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"zarr_format": 2}'], ids=["empty", "cut", "list", "bare"]
)
@pytest.mark.parametrize("zarr_format, file", [(2, ".zarray"), (3, "zarr.json")])
def test_broken_metadata_is_named(tmp_path, zarr_format, file, content):
    folder = write_set(tmp_path / "set.zarr", zarr_format)
    (folder / ENDS / file).write_text(content)
    refusal(folder, f"broken metadata for {ENDS}", "fetch")


@pytest.mark.parametrize(
    "zarr_format, codec", [(2, numcodecs.Blosc()), (3, zarr.codecs.BloscCodec())], ids=["v2", "v3"]
)
def test_a_chunk_cut_anywhere_is_refused(tmp_path, zarr_format, codec):
    # The published set's codec, which by itself decodes some cut chunks to whatever lies behind
    # them in memory.
    folder = write_set(tmp_path / "set.zarr", zarr_format)
    values = tiny_arrays()[ACTION]
    group = zarr.open_group(folder, zarr_format=zarr_format)
    array = group.create_array(
        ACTION,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(4, 2),
        compressors=codec,
        overwrite=True,
    )
    array[...] = values
    assert_tiny(demos.open(folder))
    file = folder / ACTION / ("1.0" if zarr_format == 2 else "c/1/0")
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        refusal(folder, f"broken chunk in {ACTION}", "fetch")


def edit_metadata(folder: Path, name: str, **changes) -> None:
    file = folder / name / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_metadata_that_asks_for_all_memory_is_refused(tmp_path):
    folder = write_set(tmp_path / "set.zarr")
    edit_metadata(folder, STATE, shape=[10**12, 5])
    refusal(folder, STATE, "(1000000000000, 5)")


class Trap:
    """Unpickling this raises, so that nobody can unpickle it unnoticed."""

    def __reduce__(self):
        return pytest.fail, ("the archive's pickle was loaded",)


@pytest.mark.parametrize(
    "changes",
    [
        {"compressor": {"id": "pickle"}},
        {"compressor": None, "filters": [{"id": "pickle"}]},
        {"dtype": "|O", "fill_value": None, "compressor": None, "filters": [{"id": "pickle"}]},
    ],
    ids=["compressor", "filter", "objects"],
)
def test_an_archive_cannot_run_code(tmp_path, changes):
    folder = write_set(tmp_path / "set.zarr")
    edit_metadata(folder, STATE, **changes)
    for chunk in ("0.0", "1.0"):
        (folder / STATE / chunk).write_bytes(pickle.dumps(Trap()))
    refusal(folder, STATE)


# Folders and files that are no set.


def test_a_path_to_nothing_is_named(tmp_path):
    refusal(tmp_path / "nowhere.zip", "does not exist")


def test_a_folder_without_a_set_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    refusal(tmp_path / "empty", "no Zarr folder")
    write_set(tmp_path / "deep/a/b/c/set.zarr")
    refusal(tmp_path / "deep", "no Zarr folder down to two levels")


def test_two_sets_are_not_chosen_between(tmp_path):
    one = write_set(tmp_path / "both/one.zarr")
    write_set(tmp_path / "both/deeper/two.zarr")
    refusal(tmp_path / "both", "2 Zarr folders", "one.zarr", "two.zarr")
    refusal(
        write_zip(tmp_path / "both.zip", tmp_path / "both"),
        "2 Zarr folders",
        "one.zarr",
        "two.zarr",
    )
    assert_tiny(demos.open(one))


FILES = {
    "empty": (b"", "empty file"),
    "text": (b"PUSHT", "neither a zip nor a folder"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(40), "neither a zip nor a folder"),
    "web page": (b"<!DOCTYPE html><html><title>Quota exceeded</title></html>", "web page"),
    "page after a blank line": (
        b"\xef\xbb\xbf\n  <HTML lang='en'><body>Sign in</body></HTML>",
        "web page",
    ),
    "cut after the first bytes": (b"PK\x03\x04\x14\x00", "cut short or damaged"),
}


@pytest.mark.parametrize("content, words", FILES.values(), ids=FILES)
def test_a_file_that_is_no_zip_is_told_apart(tmp_path, content, words):
    path = tmp_path / "set.zip"
    path.write_bytes(content)
    refusal(path, words, "fetch")


def test_a_zip_without_a_set_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("pusht/readme.txt", "nothing here")
    refusal(tmp_path / "set.zip", "no Zarr folder")


@pytest.mark.parametrize(
    "name",
    [
        "/etc/evil",
        "../evil",
        "data/../../evil",
        "..\\evil",
        "data\\evil",
        "C:/evil",
        "C:evil",
        "//host/evil",
    ],
)
def test_a_zip_entry_that_leads_outside_is_refused_by_name(tmp_path, name):
    path = write_zip(tmp_path / "set.zip", write_set(tmp_path / "set.zarr"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "evil")
    refusal(path, repr(name), "no plain path", "do not use it")


def test_a_link_in_a_zip_is_refused_by_name(tmp_path):
    path = write_zip(tmp_path / "set.zip", write_set(tmp_path / "set.zarr"))
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("data/keypoint")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc")
    refusal(path, "'data/keypoint'", "link", "do not use it")


def patched(content: bytes, local: int, central: int, value: bytes) -> bytes:
    """The zip with a field replaced in each local and each central header, by its offset there."""
    content = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = content.find(signature)
        while at >= 0:
            content[at + offset : at + offset + len(value)] = value
            at = content.find(signature, at + 4)
    return bytes(content)


def test_a_zip_behind_a_password_is_told_so(tmp_path):
    content = zip_bytes(write_set(tmp_path / "set.zarr"))
    (tmp_path / "set.zip").write_bytes(patched(content, 6, 8, b"\x01\x00"))
    refusal(tmp_path / "set.zip", "password", "unpack it")


def test_a_zip_packed_in_an_unknown_way_is_told_so(tmp_path):
    content = zip_bytes(write_set(tmp_path / "set.zarr"))
    (tmp_path / "set.zip").write_bytes(
        patched(content, 8, 10, b"\x09\x00")
    )  # Deflate64, as Windows packs large files
    refusal(tmp_path / "set.zip", "Python cannot read")


def test_a_zip_bomb_is_refused(tmp_path):
    path = write_zip(tmp_path / "set.zip", write_set(tmp_path / "set.zarr"))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{STATE}/9.0", bytes(stored.MAX_BYTES + 1))
    refusal(path, STATE, "64 MB")


@pytest.fixture(scope="module")
def whole_zip(tmp_path_factory) -> tuple[Path, bytes]:
    """A path to write to, and the bytes of a valid zip."""
    folder = tmp_path_factory.mktemp("demos")
    return folder / "set.zip", zip_bytes(write_set(folder / "set.zarr"), "pusht/set.zarr/")


def assert_whole_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        opened = demos.open(path)
    except demos.DemosError as error:
        assert str(path) in str(error)
    else:
        assert_tiny(opened)


@settings(deadline=None)
@given(st.data())
def test_a_zip_cut_anywhere_is_refused_or_whole(whole_zip, data):
    path, content = whole_zip
    assert_whole_or_refused(path, content[: data.draw(st.integers(0, len(content)))])


@settings(deadline=None)
@given(st.data())
def test_a_zip_with_any_byte_damaged_is_refused_or_whole(whole_zip, data):
    path, content = whole_zip
    damaged = bytearray(content)
    damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert_whole_or_refused(path, bytes(damaged))
