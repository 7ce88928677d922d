/* cp_objects.h - the program and its libraries, as the dynamic linker lists them; a part of
   cplatform.h.

   Declarations: dl_iterate_phdr(3), and the ELF types of this machine.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_OBJECTS_H
#define TASKREG_CP_OBJECTS_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

/* dl_iterate_phdr(3) under a name of our own, because <link.h> may or may not have declared it, and
   the first members of its struct dl_phdr_info. */
#if UINTPTR_MAX == UINT64_MAX
typedef Elf64_Ehdr cp_elf_ehdr;
typedef Elf64_Phdr cp_elf_phdr;
typedef Elf64_Dyn cp_elf_dyn;
typedef Elf64_Sym cp_elf_sym;
#else
typedef Elf32_Ehdr cp_elf_ehdr;
typedef Elf32_Phdr cp_elf_phdr;
typedef Elf32_Dyn cp_elf_dyn;
typedef Elf32_Sym cp_elf_sym;
#endif
/* The first members of <link.h>'s struct link_map. */
struct cp_link_map {
  uintptr_t base;
  uintptr_t path;
  uintptr_t dynamic;
  uintptr_t next;
};
struct cp_object {
  uintptr_t base;
  const char *path;
  const cp_elf_phdr *headers;
  uint16_t header_count;
};
extern int cp_iterate_objects(int (*)(struct cp_object *, size_t, void *), void *)
    __asm__("dl_iterate_phdr");

#endif
