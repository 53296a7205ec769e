"""Judges and edits whole answers and the complete parts of streams: texts, tool calls and lists."""

from __future__ import annotations

from collections.abc import Sequence, Set

from gateway.budget import PASSING
from gateway.call import Json
from gateway.dialects import Piece, positions, tree
from gateway.dialects.fields import gather
from gateway.errors import Refusal
from gateway.output import offered
from gateway.output.acting import NOTHING, Acting
from gateway.output.judges import signed_refusal
from gateway.output.runs import judge_whole
from gateway.redaction.spellings import Spelled, Spoken, kind, of_arguments, root_of
from gateway.texts import Nested, Signed, Slot, lead_of


class WholeFilter(Acting):
    """Judges the complete parts of one answer."""

    def whole(self, answer: Json, survey: tree.Survey | None = None, *, repeats: bool = True) -> bool:
        """Edit a whole answer in place; True if anything changed.

        `survey`: the survey of the answer, if known. `repeats`: whether it may have log probabilities.
        """
        try:
            single = self._codec.single(answer)
            self._structure.check(answer, self._replacement, single)
            changed = repeats and self._codec.drop_repeats(answer)
            if survey is None or changed:
                survey = self._codec.whole(answer, single)
            calls = self._codec.calls(answer) if single is None else ()
            if single is None and not self._screen.any_tool:
                offered.check(self._call, [*calls, *self._codec.strays(answer)])
            apart = single is not None and survey.lists <= single.lists
            for field, _ in self._codec.runs(answer, survey) if not apart else ():
                note = (lambda _, spelled: self._call.redaction.spoken.append(spelled)) if self._restores else None
                changed |= judge_whole(field, self._judge_of(field.pieces[0]), note=note)
            changed |= self._survey(survey, calls)
            if changed or (single is None and (not self._codec.echoes(answer) or self._tells(answer))):
                self._codec.conceal(answer)
                changed = True
        except PASSING:
            raise
        except BaseException as fault:
            raise self._stopped(fault) from None
        return changed

    def _tells(self, answer: Json) -> bool:
        """Whether alternative texts of the model hold a value that must be removed."""
        return any(self._text(text, self._restoration.plain) != text for text in self._codec.asides(answer))

    def _survey(self, survey: tree.Survey, calls: Sequence[Json] = ()) -> bool:
        """Judge every text of a survey; `calls` are the tool calls in the survey."""
        if survey.kinds and self._screen.unscannable == "block":
            raise Refusal(
                "output_blocked",
                f"The answer contains a part that no scanner can read ({', '.join(sorted(survey.kinds))}). "
                "The operator may set output.unscannable: allow.",
                stage="output",
            )
        edits: list[tuple[Slot, str]] = []
        restored: list[tuple[Slot, Spelled]] = []
        order = {(id(slot.holder), slot.key): at for at, slot in enumerate(survey.slots)} if self._restores else {}
        kept = self._restoration.kept(calls) if calls else frozenset()
        changed = survey.lists > 0 and self._lists(survey, calls, kept, restored)
        clean = self._clean
        for slot in survey.slots:
            if type(slot) is Signed:
                if self._text(slot.text, NOTHING, lead=lead_of(slot.key)) != slot.text:
                    raise signed_refusal()
                continue
            argument = positions.is_argument(slot)
            lead = lead_of(slot.key)
            if not argument and not lead and slot.text in clean:
                continue
            spoken = Spoken() if self._restores else None
            text = self._text(slot.text, self._restoration.at(slot, kept), spoken, lead)
            if argument:  # the strings in the arguments of a tool call
                for gate in self._gates:
                    text = gate.argument(self._call, text)
            if text != slot.text:
                edits.append((slot, text))
                if spoken is not None:
                    spoken.leave(text)
                    if (spelled := spoken.spelled()) is not None:
                        restored.append((slot, spelled))
        before = {
            id(root): root.holder[root.key] for slot, _ in restored if slot.nested and (root := root_of(slot.nested))
        }
        if edits:
            changed |= positions.write_all(edits)
        if survey.nested:
            positions.fold(survey.nested)
        if restored:
            restored.sort(key=lambda one: order[id(one[0].holder), one[0].key])
            self._note(restored, before)
        return changed

    def _note(self, restored: Sequence[tuple[Slot, Spelled]], before: dict[int, str]) -> None:
        """Record the spelling of restored values; `before` are JSON strings as the model wrote them."""
        roots: dict[int, tuple[Nested, dict[str, str]]] = {}
        for slot, spelled in restored:
            self._call.redaction.spoken.append(spelled._replace(kind=kind(slot)))
            if slot.nested is not None:
                root = root_of(slot.nested)
                roots.setdefault(id(root), (root, {}))[1].update(spelled.values)
        for key, (root, values) in roots.items():
            whole = of_arguments(before[key], root.holder[root.key], values) if root.prefix is None else None
            if whole is not None:
                self._call.redaction.spoken.append(whole)

    def _lists(
        self, survey: tree.Survey, calls: Sequence[Json], kept: Set[int], restored: list[tuple[Slot, Spelled]]
    ) -> bool:
        """Judge the joined strings of lists in tool calls, and in JSON inside a string."""
        values = [*calls, *survey.roots, *(nested.root for nested in survey.nested)]
        roots = [(at, "", value) for at, value in enumerate(values)]
        changed = False
        for field, slots in gather(survey, roots) if roots else ():
            lead = next(filter(None, (lead_of(slot.key) for slot in slots)), "")
            judge = self._judge(field.pieces[0].channel, self._restoration.at(slots[0], kept), lead=lead)
            places = {(id(slot.holder), slot.key): slot for slot in slots}

            def note(piece: Piece, spelled: Spelled, places: dict[tuple[int, object], Slot] = places) -> None:
                restored.append((places[id(piece.holder), piece.key], spelled))

            changed |= judge_whole(field, judge, certain=True, note=note if self._restores else None)
            for slot in slots:
                text = slot.holder[slot.key]
                if slot.nested is not None:
                    slot.nested.edited |= text != slot.text
                    for gate in self._gates:
                        gate.argument(self._call, text)
        return changed
