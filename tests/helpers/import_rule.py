"""Checks a graph of imports against a table of what may import what.

The graph holds every import that stands anywhere in the code: at the top, in a function, under ``TYPE_CHECKING``.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import grimp


@dataclass(frozen=True, slots=True)
class ImportRule:
    """What may import what.

    Attributes:
        parts: each part's name → the modules it consists of; a package stands for all that is in it, but for what is
            named more exactly elsewhere.
        may_import: each part → the parts that it may import besides itself.
        libraries: each library → the parts (or modules) that may import it. The standard library's modules may be
            imported by all, unless they are named here.
    """

    parts: Mapping[str, Collection[str]]
    may_import: Mapping[str, Collection[str]]
    libraries: Mapping[str, Collection[str]]

    def part_of(self, module: str) -> str | None:
        """The part that the module belongs to, or None."""
        owners = [
            (len(prefix), part)
            for part, prefixes in self.parts.items()
            for prefix in prefixes
            if module == prefix or module.startswith(prefix + ".")
        ]
        return max(owners)[1] if owners else None

    def breaches(self, graph: grimp.ImportGraph) -> list[str]:
        """One line for each import that the rule does not allow, and for each module or library it does not know."""
        own_packages = {prefix.split(".")[0] for prefixes in self.parts.values() for prefix in prefixes}
        found = []
        for importer in sorted(graph.modules):
            if importer.split(".")[0] not in own_packages:
                continue
            part = self.part_of(importer)
            if part is None:
                found.append(f"{importer} belongs to no part")
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                if imported.split(".")[0] in own_packages:
                    allowed = self.part_of(imported) in {part, *self.may_import[part]}
                else:
                    allowed = self._may_use(part, importer, imported)
                if not allowed:
                    lines = {
                        detail["line_number"]
                        for detail in graph.get_import_details(importer=importer, imported=imported)
                    }
                    found.append(f"{importer} line {min(lines)} imports {imported}")
        return found

    def _may_use(self, part: str, importer: str, library: str) -> bool:
        top = library.split(".", maxsplit=1)[0]
        if top in self.libraries:
            return not {part, importer}.isdisjoint(self.libraries[top])
        return top in sys.stdlib_module_names


def import_cycle(graph: grimp.ImportGraph) -> list[str]:
    """The modules of one cycle of imports, the first one again at the end; empty if there is none."""
    order = TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules})
    try:
        order.prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []
