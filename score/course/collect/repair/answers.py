"""Steps 2 and 3: choose one piece for each cell of the release, and find the answers that nothing
marks.
"""

from score.cells import UNANSWERED
from score.course.collect.repair.python_source import bindings, parsed, same
from score.course.collect.repair.state import Answered, KnownBy, Piece, State


def choose(state: State) -> None:
    """Fill `state.chosen` with the best piece for each cell of the release, and `state.extras`."""
    repeated = []
    for key in state.release.cells:
        candidates = [piece for piece in state.pieces if piece.key == key]
        if not candidates:
            continue
        best = state.chosen[key] = max(candidates, key=lambda piece: _worth(piece, key, state))
        copies = [
            piece for piece in candidates if piece is not best and not _is_own(piece, key, state)
        ]
        state.extras |= {*candidates} - {best, *copies}
        if copies and key in state.release.answers:
            _report_copies(key, best, copies, state)
        elif copies:
            repeated.append(key)
    state.extras |= {piece for piece in state.pieces if not piece.key}
    state.report("Locked cells stood in the notebook more than once and do so once now", repeated)


def _worth(piece: Piece, key: str, state: State) -> tuple[int, ...]:
    """Return what candidates for one cell are compared by: the greatest is chosen."""
    place = state.pieces.index(piece)
    if key not in state.release.answers:
        return piece.known_by, -place
    return (
        state.answered(key, piece),
        -piece.body.count(UNANSWERED),
        piece.known_by,
        place,
    )


def _is_own(piece: Piece, key: str, state: State) -> bool:
    """Say whether a piece that was not chosen is something of the student's own, not a copy."""
    release = state.release
    if key in release.answers and (
        state.answered(key, piece) != Answered.SOMETHING or not parsed(piece.body)[1]
    ):
        return False
    if piece.known_by == KnownBy.MARKER and not release.wanted.get(key):
        return False
    return not same(piece.body, release.body[key])


def _report_copies(key: str, best: Piece, copies: list[Piece], state: State) -> None:
    answered = [piece for piece in (best, *copies) if state.answered(key, piece)]
    if not answered:
        why = "none of them is answered"
    elif len(answered) == 1:
        why = "the answered one was kept"
    elif all(same(piece.body, best.body) for piece in copies):
        why = "they are alike"
    else:
        why = "the last of those that are answered was kept"
    state.report(f"An answer stood in the notebook {len(copies) + 1} times ({why})", [key])


def find_lost_answers(state: State) -> None:
    """Choose pieces of the student's own as those answers that are still missing or unanswered."""
    used: set[Piece] = set()
    for key in state.release.answers:
        best = state.chosen.get(key)
        answered = state.answered(key, best)
        if answered == Answered.WHOLLY:
            continue
        found, how = _lost(key, state)
        if found:
            last = found[-1]
            state.report(
                "An answer had neither its first line nor its metadata; it is cell"
                f" {last.number}, {how}",
                [key],
            )
            state.chosen[key] = last
            used.update(found)
            if best and answered:
                state.extras.add(best)
    state.extras -= used


def _lost(key: str, state: State) -> tuple[list[Piece], str]:
    """Return the one piece of the student's own that must be this answer, or several that are
    alike, and how they are known; no piece when there is doubt.
    """
    release, names = state.release, state.release.wanted_names(key)
    own = [
        piece
        for piece in state.pieces
        if piece in state.extras
        and piece.type == release.cells[key].cell_type
        and piece.body.strip()
        and piece.body not in release.texts
    ]
    question = release.body[key].partition("\n")[0].strip()
    fits, how = [], ""
    if names:
        fits = [piece for piece in own if all(name in piece.body for name in names)]
        fits = [
            piece
            for piece in fits
            if release.wanted[key] <= bindings(piece.body) and state.answered(key, piece)
        ]
        how = f"which defines {', '.join(sorted(names))}"
    elif release.cells[key].cell_type == "markdown" and question:
        fits = [piece for piece in own if question in piece.body]
        how = "which has the question's words"
    if not fits and key not in state.chosen:
        fits = [
            piece
            for piece in _in_place(key, state)
            if piece in own and (not names or not parsed(piece.body)[1])
        ]
        how = "which stands in its place"
    return (fits, how) if fits and all(same(p.body, fits[0].body) for p in fits) else ([], "")


def _in_place(key: str, state: State) -> list[Piece]:
    """Return the pieces between the release's cell before this one and the one after it; none when
    one of these is missing.
    """
    keys = [None, *state.release.cells, None]
    before, after = keys[keys.index(key) - 1], keys[keys.index(key) + 1]
    if not {before, after} <= {None, *state.chosen}:
        return []
    start = state.pieces.index(state.chosen[before]) + 1 if before else 0
    end = state.pieces.index(state.chosen[after]) if after else None
    return state.pieces[start:end]
