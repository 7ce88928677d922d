/* cp_file_symbols.h - the name of what an object does not export, from the symbol table
   in the object's file; a part of cplatform.h. taskreg(1) searches the files of other processes
   with it.

   This is code, not shims: like cp_symbols.h it takes no lock of libc's or of the dynamic linker's,
   allocates nothing and trusts nothing that it reads. The table (.symtab) is not in memory, and a
   stripped file has none. The file may have been replaced since the program began, so nothing is
   taken from one whose build id (NT_GNU_BUILD_ID) is not the one in memory, or that has none.

   Tests: Tests/c/shims.c, Tests/c/waits.c.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_FILE_SYMBOLS_H
#define TASKREG_CP_FILE_SYMBOLS_H

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "cp_symbols.h"
#include "cp_threads.h"

#if UINTPTR_MAX == UINT64_MAX
typedef Elf64_Shdr cp_elf_shdr;
#else
typedef Elf32_Shdr cp_elf_shdr;
#endif

/* Read `size` bytes of a file at an offset; false if there are fewer. */
static inline bool cp_read_at(int fd, uint64_t offset, void *to, size_t size) {
  ssize_t count;
  if (offset > INT64_MAX - size) return false;
  do count = pread(fd, to, size, (off_t)offset);
  while (count < 0 && errno == EINTR);
  return count == (ssize_t)size;
}

/* Read the part `number` of a file's program headers; false if it has none. */
static inline bool cp_read_part(int fd, const cp_elf_ehdr *header, uint16_t number,
                                cp_elf_phdr *part) {
  return header->e_phentsize == sizeof *part && number < header->e_phnum &&
         cp_read_at(fd, header->e_phoff + (uint64_t)number * sizeof *part, part, sizeof *part);
}

/* Say whether notes are in memory as they are in the file, with a build id among them. */
static inline bool cp_same_notes(int fd, uint64_t offset, uintptr_t address, size_t size) {
  unsigned char in_file[1024], in_memory[1024];
  if (size > sizeof in_file) return false;
  if (!cp_read_at(fd, offset, in_file, size) || !cp_peek(address, in_memory, size)) return false;
  if (memcmp(in_file, in_memory, size) != 0) return false;
  /* A note is three words (the sizes of name and contents, the type), the name and the contents,
     each filled up to a word. */
  for (size_t at = 0; at + 16 <= size;) {
    uint32_t words[3];
    memcpy(words, in_file + at, sizeof words);
    if (words[2] == NT_GNU_BUILD_ID && words[0] == 4 && memcmp(in_file + at + 12, "GNU", 4) == 0)
      return true;
    if (words[0] > size || words[1] > size) return false;
    at += 12 + ((words[0] + 3u) & ~3u) + ((words[1] + 3u) & ~3u);
  }
  return false;
}

/* Say whether the file is the one that was loaded at `base`. */
static inline bool cp_is_file_of(int fd, const cp_elf_ehdr *header, uintptr_t base) {
  cp_elf_phdr part;
  for (uint16_t i = 0; cp_read_part(fd, header, i, &part); i++)
    if (part.p_type == PT_NOTE &&
        cp_same_notes(fd, part.p_offset, base + (uintptr_t)part.p_vaddr, (size_t)part.p_filesz))
      return true;
  return false;
}

/* Which kinds of symbols are looked for, a bit for each STT_... of <elf.h>. */
enum { CP_VARIABLES = 1 << STT_OBJECT, CP_FUNCTIONS = 1 << STT_FUNC };

/* Find the symbol of the table `table` that found->object_offset is in; its name is in `names`.
   The others of a table that is broken are not looked for. */
static inline bool cp_search_table(int fd, const cp_elf_shdr *table, const cp_elf_shdr *names,
                                   unsigned kinds, struct cp_symbol *found) {
  enum { SOME = 256 };
  cp_elf_sym some[SOME];
  uint64_t count = table->sh_size / sizeof *some;
  if (table->sh_entsize != sizeof *some || count > CP_MOST_SYMBOLS) return false;
  for (uint64_t at = 0; at < count; at += SOME) {
    size_t now = count - at < SOME ? (size_t)(count - at) : SOME;
    uint64_t place = table->sh_offset + at * sizeof *some;
    if (!cp_read_at(fd, place, some, now * sizeof *some)) return false;
    for (size_t i = 0; i < now; i++) {
      uintptr_t offset = found->object_offset - (uintptr_t)some[i].st_value;
      if ((kinds >> (some[i].st_info & 15) & 1) == 0 || some[i].st_shndx == SHN_UNDEF) continue;
      if (offset >= (uintptr_t)some[i].st_size || some[i].st_name >= names->sh_size) continue;
      uint64_t left = names->sh_size - some[i].st_name;
      size_t room = sizeof found->symbol - 1;
      if (left < room) room = (size_t)left;
      if (!cp_read_at(fd, names->sh_offset + some[i].st_name, found->symbol, room)) room = 0;
      found->symbol[room] = 0;
      found->symbol_offset = offset;
      return found->symbol[0] != 0;
    }
  }
  return false;
}

/* Find the symbol that found->object_offset is in, in the tables of a file that are of the type
   `table_type` (SHT_SYMTAB has all symbols, SHT_DYNSYM is what strip(1) leaves). A file has one of
   each; more than four are not searched, so that a file that is broken does not take long. */
static inline bool cp_search_tables(int fd, const cp_elf_ehdr *header, uint32_t table_type,
                                    unsigned kinds, struct cp_symbol *found) {
  int left = 4;
  if (header->e_shentsize != sizeof(cp_elf_shdr)) return false;
  for (uint16_t i = 0; i < header->e_shnum && left > 0; i++) {
    cp_elf_shdr table, names;
    uint64_t place = header->e_shoff + (uint64_t)i * sizeof table;
    if (!cp_read_at(fd, place, &table, sizeof table)) return false;
    if (table.sh_type != table_type || table.sh_link >= header->e_shnum) continue;
    left--;
    place = header->e_shoff + (uint64_t)table.sh_link * sizeof names;
    if (!cp_read_at(fd, place, &names, sizeof names)) return false;
    if (cp_search_table(fd, &table, &names, kinds, found)) return true;
  }
  return false;
}

/* Read the header of a file; false unless it is an ELF file of this machine's size of words. */
static inline bool cp_read_header(int fd, cp_elf_ehdr *header) {
  return cp_read_at(fd, 0, header, sizeof *header) &&
         memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
         header->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32);
}

/* Find the symbol of some kinds (CP_VARIABLES, CP_FUNCTIONS) that found->address belongs to in a
   file, if that is the file of its object. */
static inline bool cp_find_in(const char *path, unsigned kinds, struct cp_symbol *found) {
  cp_elf_ehdr header;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return false;
  bool is_found = cp_read_header(fd, &header) &&
                  cp_is_file_of(fd, &header, found->address - found->object_offset) &&
                  cp_search_tables(fd, &header, SHT_SYMTAB, kinds, found);
  close(fd);
  return is_found;
}

/* Find the symbol of some kinds that an address belongs to in the file of its object. `found` is as
   cp_find_symbol has left it: with an object, and without a symbol, which this fills in. False if
   the file cannot be read, is not the one that was loaded, is stripped, or has no such symbol.
   The program's own file is found also if it was moved or replaced. */
static inline bool cp_find_in_file(unsigned kinds, struct cp_symbol *found) {
  int saved = errno, cancellation = cp_disable_cancellation();
  bool is_found =
      cp_find_in("/proc/self/exe", kinds, found) || cp_find_in(found->object, kinds, found);
  cp_set_cancellation(cancellation);
  errno = saved;
  return is_found;
}

#endif
