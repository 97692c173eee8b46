"""The loaded modules by address: which one holds an address, and how to write that down."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from parsers.dump.modules import LoadedModule, UnloadedDriver

__all__ = ["KERNEL_NAMES", "ModuleMap"]

#: Base names under which the kernel image is loaded; in the lists of real dumps it is the first entry.
KERNEL_NAMES = frozenset({"ntoskrnl.exe", "ntkrnlmp.exe", "ntkrnlpa.exe", "ntkrpamp.exe", "ntkrla57.exe"})


class ModuleMap:
    """Loaded modules, looked up by address.

    Args:
        modules: in load order.
        unloaded: former ranges; loaded modules come first, because ranges are used again.

    """

    def __init__(self, modules: Iterable[LoadedModule], unloaded: Iterable[UnloadedDriver] = ()) -> None:
        self.modules = [module for module in modules if module.base and module.size_of_image]
        self.unloaded = list(unloaded)
        self._by_base = sorted(self.modules, key=lambda module: module.base)
        self._bases = [module.base for module in self._by_base]
        self.kernel = next((m for m in self.modules if m.name.lower() in KERNEL_NAMES), None)
        #: (base, end) of every module, sorted: for loops over many words.
        self.ranges = [(module.base, module.end) for module in self._by_base]

    def at(self, address: int) -> LoadedModule | None:
        """Return the module that holds an address, or None."""
        index = bisect_right(self._bases, address) - 1
        if index < 0:
            return None
        module = self._by_base[index]
        return module if address < module.end else None

    def unloaded_at(self, address: int) -> UnloadedDriver | None:
        """Return the unloaded driver whose former range holds an address; None when a loaded module does."""
        if self.at(address) is not None:
            return None
        return next((driver for driver in self.unloaded if driver.start <= address < driver.end), None)

    def named(self, name: str) -> LoadedModule | None:
        """Return the module of a base name, whatever the case."""
        wanted = name.lower()
        return next((module for module in self.modules if module.name.lower() == wanted), None)

    def is_kernel(self, module: LoadedModule | None) -> bool:
        """Tell whether a module is the kernel image."""
        return module is not None and self.kernel is not None and module.base == self.kernel.base

    def short_name(self, module: LoadedModule) -> str:
        """Return the name used before `!` in symbols: "nt" for the kernel, else the base name without its ending."""
        return "nt" if self.is_kernel(module) else module.name.rpartition(".")[0] or module.name

    def label(self, address: int) -> str:
        """Write an address as "module.sys+0x1234", or plainly when no module holds it."""
        module = self.at(address)
        return f"{address:#x}" if module is None else f"{module.name}+{address - module.base:#x}"
