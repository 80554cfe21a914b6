from __future__ import annotations

from sae.cli import kept


def test_what_was_written_is_read_back(tmp_path, monkeypatch):
    option = {"names": ["--n"], "key": "n", "takes": True, "type": "N", "help": "How many: «5»."}
    many = [{**option, "key": f"n{k}"} for k in range(30)]
    verbs = {
        "fit": {"help": "a", "example": "", "options": many},
        "test": {"help": "b", "example": "", "options": [*many[3:], {**option, "takes": False}]},
    }
    whole = {"lightning": "0", "sources": kept.fingerprint(), "verbs": verbs}
    monkeypatch.setattr(kept, "PATH", tmp_path / "options.json")
    kept.write(whole)
    found = kept.read()
    assert found["trainer_is_known"] is False
    assert found["verbs"]["fit"] == verbs["fit"]
    assert found["verbs"]["test"]["options"] == verbs["test"]["options"]
    assert len((tmp_path / "options.json").read_text().splitlines()) < 55, "what is shared is once"


def test_a_damaged_description_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "PATH", tmp_path / "options.json")
    assert kept.read() is None
    for content in ("{", "[]", "5", '{"sources": 1}'):
        kept.PATH.write_text(content)
        assert kept.read() is None


def test_an_edited_source_or_a_new_kind_makes_another_fingerprint(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "_PACKAGE", tmp_path)
    (tmp_path / "terms").mkdir()
    (tmp_path / "training").mkdir()
    recipe = tmp_path / "training/recipe.py"
    recipe.write_bytes(b"epochs = 10\n")
    seen = {kept.fingerprint()}
    recipe.write_bytes(b"epochs = 10\r\n")
    assert kept.fingerprint() in seen, "a line may end in either way"
    for path in (recipe, tmp_path / "terms/mine.py"):
        path.write_bytes(b"rate = 10\n")
        assert kept.fingerprint() not in seen
        seen.add(kept.fingerprint())
