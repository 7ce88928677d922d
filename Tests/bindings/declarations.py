#!/usr/bin/python3
# declarations.py - writes, in C, what bindings/python/taskreg.py declares: each size, offset and constant as a static
# assertion, and each function once more, which a compiler accepts only if the header declares the same.

import re

import taskreg

print("#include <stddef.h>\n#include <taskreg.h>")
for name in re.findall(r"^typedef struct (\w+) \{", taskreg.CDEF, re.M):
    print(f'_Static_assert(sizeof({name}) == {taskreg.ffi.sizeof(name)}, "{name}");')
    for field, kind in taskreg.ffi.typeof(name).fields:
        print(f'_Static_assert(offsetof({name}, {field}) == {kind.offset}, "{name}.{field}");')
        print(f'_Static_assert(sizeof((({name} *)0)->{field}) == {taskreg.ffi.sizeof(kind.type)}, "{name}.{field}");')
for name in re.findall(r"\b(TR_\w+) =", taskreg.CDEF):
    print(f'_Static_assert({name} == {getattr(taskreg.lib, name)}, "{name}");')
print(re.sub(r"enum [^;]*;\n|typedef [^{;]*(\{[^}]*\}[^;]*)?;\n", "", taskreg.CDEF))
