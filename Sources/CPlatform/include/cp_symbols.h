/* cp_symbols.h - which object and which function an address belongs to: a reader of ELF symbol
   tables; a part of cplatform.h.

   This is code, not shims. It exists because dladdr(3) and dl_iterate_phdr(3) take the dynamic
   linker's lock, which a straggler may hold for good. It takes no lock, allocates nothing, and
   reads every byte with process_vm_readv(2) (cp_peek), which fails where a load would fault: an
   object may be unmapped at any moment, and a table may be broken. Nothing that is read is trusted
   as a number or as an offset.

   Tables: .dynamic, .dynsym, .dynstr, .hash and .gnu.hash (System V ABI, chapter 5). Tests:
   Tests/c/shims.c.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_SYMBOLS_H
#define TASKREG_CP_SYMBOLS_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>

#include "cp_objects.h"
#include "cp_unwind.h"

/* The object an address belongs to, by its path, and the function or the variable that it exports
   there; "" if there is none. Both are cut to the room there is. */
struct cp_symbol {
  uintptr_t address;       /* the address in question */
  uintptr_t object_offset; /* from the object's load address, as addr2line(1) expects it */
  uintptr_t symbol_offset;
  char object[256];
  char symbol[256];
};

/* Copy text that may be unmapped; what can be read of it, cut to `room`. */
static inline void cp_peek_text(uintptr_t address, char *to, size_t room) {
  struct cp_bytes bytes = cp_bytes_at(address, address + room - 1);
  size_t length = 0;
  while (cp_is_more(&bytes)) {
    char next = (char)cp_next(&bytes);
    if (bytes.failed || next == 0) break;
    to[length++] = next;
  }
  to[length] = 0;
}

/* More symbols than any object exports; a table that claims more is broken. */
enum { CP_MOST_SYMBOLS = 1 << 22 };

/* How many symbols a table has, by its GNU hash table: one more than the last symbol in the hash
   table's chains; 0 if that cannot be determined. */
static inline size_t cp_count_symbols(uintptr_t hash) {
  uint32_t words[4], some[512], last = 0;
  if (!cp_peek(hash, words, sizeof words) || words[0] > CP_MOST_SYMBOLS) return 0;
  uint32_t bucket_count = words[0], first = words[1], bloom_count = words[2];
  uintptr_t buckets = hash + 16 + (uintptr_t)bloom_count * sizeof(uintptr_t);
  for (uint32_t at = 0; at < bucket_count; at += 512) {
    uint32_t count = bucket_count - at < 512 ? bucket_count - at : 512;
    if (!cp_peek(buckets + (uintptr_t)at * 4, some, (size_t)count * 4)) return 0;
    for (uint32_t i = 0; i < count; i++)
      if (some[i] > last) last = some[i];
  }
  if (last < first) return first; /* the chains are empty */
  uintptr_t chain = buckets + (uintptr_t)bucket_count * 4;
  /* The last entry of a chain has its lowest bit set. */
  for (int i = 0; i < 4096; i++, last++) {
    uint32_t entry;
    if (!cp_peek(chain + (uintptr_t)(last - first) * 4, &entry, sizeof entry)) return 0;
    if (entry & 1) return (size_t)last + 1;
  }
  return 0;
}

/* Find the exported function of an object that `found->address` is in. */
static inline void cp_find_function(const struct cp_link_map *object, struct cp_symbol *found) {
  uintptr_t table = 0, names = 0, names_size = 0, hash = 0, gnu_hash = 0;
  for (int i = 0; i < 256; i++) {
    cp_elf_dyn entry;
    if (!cp_peek(object->dynamic + (uintptr_t)i * sizeof entry, &entry, sizeof entry)) return;
    if (entry.d_tag == DT_NULL) break;
    uintptr_t value = (uintptr_t)entry.d_un.d_val;
    /* The dynamic linker has relocated these values, except those of the vDSO. */
    uintptr_t address = value < object->base ? value + object->base : value;
    switch (entry.d_tag) {
    case DT_SYMTAB: table = address; break;
    case DT_STRTAB: names = address; break;
    case DT_STRSZ: names_size = value; break;
    case DT_HASH: hash = address; break;
    case DT_GNU_HASH: gnu_hash = address; break;
    }
  }
  size_t count = 0;
  uint32_t header[2];
  if (gnu_hash != 0)
    count = cp_count_symbols(gnu_hash);
  else if (hash != 0 && cp_peek(hash, header, sizeof header))
    count = header[1];
  if (table == 0 || names == 0 || count > CP_MOST_SYMBOLS) return;
  enum { SOME = 128 };
  cp_elf_sym some[SOME];
  uintptr_t best = 0, best_name = 0;
  for (size_t at = 0; at < count; at += SOME) {
    size_t now = count - at < SOME ? count - at : SOME;
    if (!cp_peek(table + at * sizeof *some, some, now * sizeof *some)) return;
    for (size_t i = 0; i < now; i++) {
      const cp_elf_sym *symbol = &some[i];
      int type = symbol->st_info & 15;
      uintptr_t offset = found->object_offset - (uintptr_t)symbol->st_value;
      if (symbol->st_shndx == SHN_UNDEF) continue;
      if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_OBJECT) continue;
      uintptr_t size = symbol->st_size > 0 ? (uintptr_t)symbol->st_size : 1;
      if (symbol->st_name >= names_size || offset >= size) continue;
      if (best_name != 0 && symbol->st_value <= best) continue;
      best = (uintptr_t)symbol->st_value;
      best_name = names + symbol->st_name;
    }
  }
  if (best_name == 0) return;
  found->symbol_offset = found->object_offset - best;
  cp_peek_text(best_name, found->symbol, sizeof found->symbol);
}

/* Find the object, and the function or the variable, that an address belongs to. An object that is
   unloaded meanwhile is not found. False if the address belongs to no object; only
   found->address is then of use. */
static inline bool cp_find_symbol(uintptr_t address, struct cp_symbol *found) {
  struct cp_found_object object;
  struct cp_link_map map;
  found->address = address;
  found->object_offset = found->symbol_offset = 0;
  found->object[0] = found->symbol[0] = 0;
  if (!cp_find_object(address, &object)) return false;
  if (!cp_peek((uintptr_t)object.link_map, &map, sizeof map)) return false;
  cp_peek_text(map.path, found->object, sizeof found->object);
  /* The path of the program itself is empty in its link map. */
  if (found->object[0] == 0) {
    uintptr_t program = (uintptr_t)getauxval(AT_EXECFN);
    if (program != 0) cp_peek_text(program, found->object, sizeof found->object);
  }
  found->object_offset = address - map.base;
  cp_find_function(&map, found);
  return true;
}

#endif
