/* cp_unwind.h - the call stack of a thread that a signal handler has interrupted; a part of
   cplatform.h.

   This is code, not shims: an unwinder for the handler of backtraces. backtrace(3) trusts what it
   finds, so it crashes the program on a return address that is not code (hand-written context
   switches leave one below their outermost frame), on a stack that is no longer mapped, and on an
   object that is being unloaded. Here every byte is read by process_vm_readv(2) of the process's
   own memory, which fails where a load would fault. Nothing is allocated, and no lock is taken: the
   unwind tables are found by _dl_find_object(3), which is async-signal-safe, or before glibc 2.35
   in the dynamic linker's list. A table entry that cannot be interpreted ends the backtrace.

   The tables are those of .eh_frame (Linux Standard Base Core, chapter 10.6; DWARF 5, section 6.4).

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_UNWIND_H
#define TASKREG_CP_UNWIND_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "cp_objects.h"
#include "cp_peek.h"

/* <dlfcn.h> declares this under _GNU_SOURCE (glibc 2.35); weak, because older versions lack it. */
struct cp_found_object {
  unsigned long long flags;
  void *map_start, *map_end;
  void *link_map;
  void *eh_frame; /* the address in PT_GNU_EH_FRAME: the header of the unwind tables */
#if defined(__i386__) || defined(__nios2__)
  void *eh_dbase;
#endif
  unsigned long long reserved[8];
};
extern int cp_dl_find_object(void *, struct cp_found_object *) __asm__("_dl_find_object")
    __attribute__((weak));

/* Whether one of the program headers of an object contains an address: the segment that it is in.
   `base` is the object's load address, which is added to the addresses in its headers. */
static inline bool cp_is_in_object(uintptr_t address, uintptr_t base, uintptr_t headers,
                                   size_t count, struct cp_found_object *found) {
  enum { SOME = 4 };
  cp_elf_phdr some[SOME];
  bool is_inside = false;
  found->eh_frame = NULL;
  for (size_t at = 0; at < count; at += SOME) {
    size_t now = count - at < SOME ? count - at : SOME;
    if (!cp_peek(headers + at * sizeof *some, some, now * sizeof *some)) return false;
    for (size_t i = 0; i < now; i++) {
      uintptr_t start = base + (uintptr_t)some[i].p_vaddr;
      if (some[i].p_type == PT_LOAD && address - start < (uintptr_t)some[i].p_memsz)
        is_inside = true;
      if (some[i].p_type == PT_GNU_EH_FRAME) found->eh_frame = (void *)start;
    }
  }
  return is_inside;
}

/* The dynamic linker's list of objects, which begins with the program: the address of the program's
   link map; 0 in a static program, which has none. A debugger finds it in the same way. */
static inline uintptr_t cp_first_object(void) {
  uintptr_t headers = (uintptr_t)getauxval(AT_PHDR), base = 0, dynamic = 0, debug = 0, first = 0;
  size_t count = (size_t)getauxval(AT_PHNUM);
  for (size_t i = 0; i < count; i++) {
    cp_elf_phdr header;
    if (!cp_peek(headers + i * sizeof header, &header, sizeof header)) return 0;
    if (header.p_type == PT_PHDR) base = headers - (uintptr_t)header.p_vaddr;
    if (header.p_type == PT_DYNAMIC) dynamic = (uintptr_t)header.p_vaddr;
  }
  for (int i = 0; dynamic != 0 && i < 256; i++) {
    cp_elf_dyn entry;
    if (!cp_peek(base + dynamic + (uintptr_t)i * sizeof entry, &entry, sizeof entry)) return 0;
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_tag == DT_DEBUG) debug = (uintptr_t)entry.d_un.d_ptr;
  }
  /* The second member of struct r_debug. */
  if (debug == 0 || !cp_peek(debug + sizeof first, &first, sizeof first)) return 0;
  return first;
}

/* The object that contains an address, by the dynamic linker's list. It is read without the
   linker's lock, by copies that fail where it has been freed: of an object that is loaded or
   unloaded meanwhile, or comes behind one, nothing may be found. */
static inline bool cp_walk_to_object(uintptr_t address, struct cp_found_object *found) {
  enum { MOST = 4096 };
  struct cp_link_map map;
  uintptr_t at = cp_first_object(), program = at;
  for (int i = 0; at != 0 && i < MOST; i++, at = map.next) {
    if (!cp_peek(at, &map, sizeof map)) return false;
    uintptr_t headers = (uintptr_t)getauxval(AT_PHDR);
    size_t count = (size_t)getauxval(AT_PHNUM);
    if (at != program) {
      cp_elf_ehdr header;
      if (!cp_peek(map.base, &header, sizeof header)) continue;
      if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phnum > 256 ||
          header.e_phentsize != sizeof(cp_elf_phdr))
        continue;
      headers = map.base + (uintptr_t)header.e_phoff;
      count = header.e_phnum;
    }
    found->link_map = (void *)at;
    if (cp_is_in_object(address, map.base, headers, count, found)) return true;
  }
  return false;
}

/* The object that contains an address; of `found`, link_map and eh_frame. Async-signal-safe; takes
   no lock. */
static inline bool cp_find_object(uintptr_t address, struct cp_found_object *found) {
  if (cp_dl_find_object == NULL) return cp_walk_to_object(address, found);
  return cp_dl_find_object((void *)address, found) == 0;
}

#if defined(__x86_64__)
enum { CP_REGISTERS = 17, CP_SP = 7, CP_RA = 16 };
#elif defined(__aarch64__)
enum { CP_REGISTERS = 32, CP_SP = 31, CP_RA = 30 };
#else
enum { CP_REGISTERS = 1, CP_SP = 0, CP_RA = 0 }; /* not supported */
#endif

/* A frame: its registers, and its place. */
struct cp_frame {
  uintptr_t pc;
  bool is_exact; /* pc was interrupted there; else a call returns to it */
  uint64_t known; /* the registers that are known, a bit each */
  uintptr_t registers[CP_REGISTERS];
};

/* How to get a register of the caller, packed: three bits of kind; the rest is the number. */
typedef int64_t cp_rule;
enum {
  CP_SAME = 0, CP_UNDEFINED, CP_AT_OFFSET, CP_IS_OFFSET, CP_REGISTER, CP_AT_EXPRESSION,
  CP_IS_EXPRESSION
};
static inline cp_rule cp_make_rule(int kind, int64_t number) {
  return (cp_rule)((uint64_t)number << 3 | (uint64_t)kind);
}
static inline int cp_rule_kind(cp_rule rule) { return (int)(rule & 7); }
static inline int64_t cp_rule_number(cp_rule rule) { return rule >> 3; }

struct cp_row {
  int cfa_register; /* negative: an expression, at cfa_offset */
  int64_t cfa_offset;
  cp_rule rules[CP_REGISTERS];
};

/* Reads bytes one after the other, a few at a time. */
struct cp_bytes {
  uintptr_t at, end; /* the next byte, and the end */
  bool failed;
  uint8_t place, have, buffer[62];
};

static inline struct cp_bytes cp_bytes_at(uintptr_t at, uintptr_t end) {
  struct cp_bytes bytes = {at, end, false, 0, 0, {0}};
  return bytes;
}

static inline uint8_t cp_next(struct cp_bytes *bytes) {
  if (bytes->place == bytes->have) {
    size_t left = bytes->at < bytes->end ? (size_t)(bytes->end - bytes->at) : 0;
    size_t count = left < sizeof bytes->buffer ? left : sizeof bytes->buffer;
    /* Only the rest of the page, if the next page is not mapped. */
    if (count == 0 || !cp_peek(bytes->at, bytes->buffer, count)) {
      size_t page = 4096 - (size_t)(bytes->at & 4095);
      if (count <= page || !cp_peek(bytes->at, bytes->buffer, page)) {
        bytes->failed = true;
        return 0;
      }
      count = page;
    }
    bytes->have = (uint8_t)count;
    bytes->place = 0;
  }
  bytes->at++;
  return bytes->buffer[bytes->place++];
}

static inline bool cp_is_more(const struct cp_bytes *bytes) {
  return !bytes->failed && bytes->at < bytes->end;
}

/* Continue at another address. */
static inline void cp_go(struct cp_bytes *bytes, uintptr_t at) {
  bytes->at = at;
  bytes->place = bytes->have = 0;
}

static inline uint64_t cp_fixed(struct cp_bytes *bytes, int size) {
  uint64_t value = 0;
  for (int i = 0; i < size; i++) value |= (uint64_t)cp_next(bytes) << (8 * i); /* little-endian */
  return value;
}
static inline int64_t cp_signed(struct cp_bytes *bytes, int size) {
  uint64_t value = cp_fixed(bytes, size);
  int unused = 64 - 8 * size;
  return (int64_t)(value << unused) >> unused;
}
static inline uint64_t cp_uleb(struct cp_bytes *bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint8_t byte = cp_next(bytes);
    value |= (uint64_t)(byte & 127) << shift;
    if (!(byte & 128)) return value;
  }
  bytes->failed = true;
  return 0;
}
static inline int64_t cp_sleb(struct cp_bytes *bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint8_t byte = cp_next(bytes);
    value |= (uint64_t)(byte & 127) << shift;
    if (byte & 128) continue;
    if (byte & 64 && shift + 7 < 64) value |= ~UINT64_C(0) << (shift + 7);
    return (int64_t)value;
  }
  bytes->failed = true;
  return 0;
}

/* A pointer in one of the encodings of the tables; only absolute and pc-relative ones are
   supported. */
static inline uintptr_t cp_encoded(struct cp_bytes *bytes, uint8_t encoding) {
  uintptr_t place = bytes->at, value = 0;
  switch (encoding & 15) {
  case 0: case 4: case 12: value = (uintptr_t)cp_fixed(bytes, 8); break;
  case 2: value = (uintptr_t)cp_fixed(bytes, 2); break;
  case 3: value = (uintptr_t)cp_fixed(bytes, 4); break;
  case 10: value = (uintptr_t)cp_signed(bytes, 2); break;
  case 11: value = (uintptr_t)cp_signed(bytes, 4); break;
  case 1: value = (uintptr_t)cp_uleb(bytes); break;
  case 9: value = (uintptr_t)cp_sleb(bytes); break;
  default: bytes->failed = true;
  }
  if ((encoding & 0x70) == 0x10) value += place;
  else if ((encoding & 0x70) != 0) bytes->failed = true;
  return value;
}

/* The value of a DWARF expression at `at`: its length, and then its operations. */
static inline bool cp_evaluate(uintptr_t at, const struct cp_frame *frame, bool has_cfa,
                               uintptr_t cfa, uintptr_t *result) {
  struct cp_bytes bytes = cp_bytes_at(at, at + 16);
  uint64_t length = cp_uleb(&bytes);
  uintptr_t stack[8];
  int depth = 0;
  if (bytes.failed || length > 256) return false;
  bytes.end = bytes.at + (uintptr_t)length;
  bytes.place = bytes.have = 0;
  if (has_cfa) stack[depth++] = cfa;
  while (cp_is_more(&bytes)) {
    uint8_t operation = cp_next(&bytes);
    uintptr_t value = 0;
    if (bytes.failed) return false;
    if (operation >= 0x30 && operation <= 0x4f) { /* lit0 to lit31 */
      value = operation - 0x30u;
    } else if (operation >= 0x70 && operation <= 0x8f) { /* breg0 to breg31 */
      int number = operation - 0x70;
      int64_t offset = cp_sleb(&bytes);
      uintptr_t base;
      if (number == CP_RA && !(frame->known >> CP_RA & 1)) base = frame->pc;
      else if (number < CP_REGISTERS && frame->known >> number & 1) base = frame->registers[number];
      else return false;
      value = base + (uintptr_t)offset;
    } else {
      switch (operation) {
      case 0x03: case 0x0e: value = (uintptr_t)cp_fixed(&bytes, 8); break; /* addr, const8u */
      case 0x08: value = (uintptr_t)cp_fixed(&bytes, 1); break;
      case 0x09: value = (uintptr_t)cp_signed(&bytes, 1); break;
      case 0x0a: value = (uintptr_t)cp_fixed(&bytes, 2); break;
      case 0x0b: value = (uintptr_t)cp_signed(&bytes, 2); break;
      case 0x0c: value = (uintptr_t)cp_fixed(&bytes, 4); break;
      case 0x0d: value = (uintptr_t)cp_signed(&bytes, 4); break;
      case 0x10: value = (uintptr_t)cp_uleb(&bytes); break;
      case 0x11: value = (uintptr_t)cp_sleb(&bytes); break;
      case 0x12: /* dup */
        if (depth < 1) return false;
        value = stack[depth - 1];
        break;
      case 0x06: /* deref */
        if (depth < 1 || !cp_peek(stack[depth - 1], &value, sizeof value)) return false;
        depth--;
        break;
      case 0x23: /* plus_uconst */
        if (depth < 1) return false;
        value = stack[--depth] + (uintptr_t)cp_uleb(&bytes);
        break;
      case 0x1a: case 0x1c: case 0x21: case 0x22: case 0x24: case 0x25: case 0x26: case 0x27:
      case 0x29: case 0x2a: case 0x2b: case 0x2c: case 0x2d: case 0x2e: {
        if (depth < 2) return false;
        uintptr_t second = stack[--depth], first = stack[--depth];
        intptr_t signed_first = (intptr_t)first, signed_second = (intptr_t)second;
        switch (operation) {
        case 0x1a: value = first & second; break;
        case 0x1c: value = first - second; break;
        case 0x21: value = first | second; break;
        case 0x22: value = first + second; break;
        case 0x24: value = second < 64 ? first << second : 0; break;
        case 0x25: value = second < 64 ? first >> second : 0; break;
        case 0x26: value = (uintptr_t)(signed_first >> (second < 64 ? second : 63)); break;
        case 0x27: value = first ^ second; break;
        case 0x29: value = first == second; break;
        case 0x2a: value = signed_first >= signed_second; break;
        case 0x2b: value = signed_first > signed_second; break;
        case 0x2c: value = signed_first <= signed_second; break;
        case 0x2d: value = signed_first < signed_second; break;
        default: value = first != second; break;
        }
        break;
      }
      default: return false;
      }
    }
    if (bytes.failed || depth == 8) return false;
    stack[depth++] = value;
  }
  if (bytes.failed || depth == 0) return false;
  *result = stack[depth - 1];
  return true;
}

/* A CIE: what the descriptions of several functions have in common. */
struct cp_cie {
  uint64_t code_factor;
  int64_t data_factor;
  uint64_t return_register;
  uint8_t encoding;
  bool has_data, is_signal;
  uintptr_t program, end;
};

static inline bool cp_read_cie(uintptr_t at, struct cp_cie *cie) {
  struct cp_bytes bytes = cp_bytes_at(at, at + 12);
  uint64_t length = cp_fixed(&bytes, 4);
  char augmentation[8] = "";
  if (bytes.failed || length < 8 || length > 65536) return false;
  cie->end = bytes.end = at + 4 + (uintptr_t)length;
  if (cp_fixed(&bytes, 4) != 0) return false;
  uint8_t version = cp_next(&bytes);
  if (version != 1 && version != 3) return false;
  for (size_t i = 0; (augmentation[i] = (char)cp_next(&bytes)) != 0; i++)
    if (i + 2 > sizeof augmentation) return false;
  cie->code_factor = cp_uleb(&bytes);
  cie->data_factor = cp_sleb(&bytes);
  cie->return_register = version == 1 ? cp_next(&bytes) : cp_uleb(&bytes);
  cie->encoding = 0;
  cie->is_signal = false;
  cie->has_data = augmentation[0] == 'z';
  if (!cie->has_data && augmentation[0] != 0) return false;
  uint64_t data = cie->has_data ? cp_uleb(&bytes) : 0;
  cie->program = bytes.at + (uintptr_t)data;
  for (const char *letter = augmentation + 1; cie->has_data && *letter != 0; letter++) {
    uint8_t encoding;
    switch (*letter) {
    case 'R': cie->encoding = cp_next(&bytes); break;
    case 'L': cp_next(&bytes); break;
    case 'P':
      encoding = cp_next(&bytes);
      cp_encoded(&bytes, encoding & 0x0f);
      break;
    case 'S': cie->is_signal = true; break;
    case 'B': break; /* aarch64: return addresses are signed */
    default: return false;
    }
  }
  return !bytes.failed && cie->program <= cie->end;
}

/* Run the instructions up to `pc`. `initial` is the row after the CIE's instructions, NULL while
   these are run. */
static inline bool cp_run(struct cp_bytes bytes, const struct cp_cie *cie, uintptr_t begin,
                          uintptr_t pc, const struct cp_row *initial, struct cp_row *row) {
  struct cp_row remembered[2];
  int depth = 0;
  uintptr_t location = begin;
  while (cp_is_more(&bytes)) {
    uint8_t operation = cp_next(&bytes);
    uint64_t number = operation & 63u, length;
    int kind = -1;
    int64_t offset = 0;
    switch (operation & 0xc0) {
    case 0x40: location += (uintptr_t)(number * cie->code_factor); break;
    case 0x80:
      kind = CP_AT_OFFSET;
      offset = (int64_t)cp_uleb(&bytes) * cie->data_factor;
      break;
    case 0xc0:
      if (initial == NULL) return false;
      if (number < CP_REGISTERS) row->rules[number] = initial->rules[number];
      break;
    default:
      switch (operation) {
      case 0x00: break;                                                /* nop */
      case 0x01: location = cp_encoded(&bytes, cie->encoding); break;  /* set_loc */
      case 0x02: location += (uintptr_t)(cp_fixed(&bytes, 1) * cie->code_factor); break;
      case 0x03: location += (uintptr_t)(cp_fixed(&bytes, 2) * cie->code_factor); break;
      case 0x04: location += (uintptr_t)(cp_fixed(&bytes, 4) * cie->code_factor); break;
      case 0x05: number = cp_uleb(&bytes); kind = CP_AT_OFFSET;
        offset = (int64_t)cp_uleb(&bytes) * cie->data_factor; break;
      case 0x11: number = cp_uleb(&bytes); kind = CP_AT_OFFSET;
        offset = cp_sleb(&bytes) * cie->data_factor; break;
      case 0x06: /* restore_extended */
        number = cp_uleb(&bytes);
        if (initial == NULL) return false;
        if (number < CP_REGISTERS) row->rules[number] = initial->rules[number];
        break;
      case 0x07: number = cp_uleb(&bytes); kind = CP_UNDEFINED; break;
      case 0x08: number = cp_uleb(&bytes); kind = CP_SAME; break;
      case 0x09: number = cp_uleb(&bytes); kind = CP_REGISTER;
        offset = (int64_t)cp_uleb(&bytes); break;
      case 0x0a: /* remember_state */
        if (depth == 2) return false;
        remembered[depth++] = *row;
        break;
      case 0x0b: /* restore_state */
        if (depth == 0) return false;
        *row = remembered[--depth];
        break;
      case 0x0c: row->cfa_register = (int)cp_uleb(&bytes);
        row->cfa_offset = (int64_t)cp_uleb(&bytes); break;
      case 0x12: row->cfa_register = (int)cp_uleb(&bytes);
        row->cfa_offset = cp_sleb(&bytes) * cie->data_factor; break;
      case 0x0d: row->cfa_register = (int)cp_uleb(&bytes); break;
      case 0x0e: row->cfa_offset = (int64_t)cp_uleb(&bytes); break;
      case 0x13: row->cfa_offset = cp_sleb(&bytes) * cie->data_factor; break;
      case 0x0f: /* def_cfa_expression */
        row->cfa_register = -1;
        row->cfa_offset = (int64_t)bytes.at;
        length = cp_uleb(&bytes);
        cp_go(&bytes, bytes.at + (uintptr_t)length);
        break;
      case 0x10: case 0x16: /* expression, val_expression */
        kind = operation == 0x10 ? CP_AT_EXPRESSION : CP_IS_EXPRESSION;
        number = cp_uleb(&bytes);
        offset = (int64_t)bytes.at;
        length = cp_uleb(&bytes);
        cp_go(&bytes, bytes.at + (uintptr_t)length);
        break;
      case 0x14: number = cp_uleb(&bytes); kind = CP_IS_OFFSET;
        offset = (int64_t)cp_uleb(&bytes) * cie->data_factor; break;
      case 0x15: number = cp_uleb(&bytes); kind = CP_IS_OFFSET;
        offset = cp_sleb(&bytes) * cie->data_factor; break;
      case 0x2d: break; /* aarch64: negate_ra_state; x86: GNU_window_save, which it has not */
      case 0x2e: (void)cp_uleb(&bytes); break; /* GNU_args_size */
      default: return false;
      }
    }
    if (bytes.failed) return false;
    if (kind >= 0 && number < CP_REGISTERS) row->rules[number] = cp_make_rule(kind, offset);
    if (location > pc) return true;
  }
  return !bytes.failed;
}

/* The FDE, the description of the function that contains `pc`: by the sorted table behind
   PT_GNU_EH_FRAME. */
static inline uintptr_t cp_find_fde(uintptr_t header, uintptr_t pc) {
  uint8_t begin[12];
  if (!cp_peek(header, begin, sizeof begin)) return 0;
  /* Version 1, and the encodings that every linker writes. */
  if (begin[0] != 1 || begin[1] != 0x1b || begin[2] != 0x03 || begin[3] != 0x3b) return 0;
  uint32_t count, low = 0;
  memcpy(&count, begin + 8, sizeof count);
  int32_t entry[2];
  while (count > 0) {
    uint32_t half = count / 2;
    if (!cp_peek(header + 12 + (uintptr_t)(low + half) * 8, entry, sizeof entry)) return 0;
    if (header + (uintptr_t)(intptr_t)entry[0] <= pc) {
      low += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  if (low == 0 || !cp_peek(header + 12 + (uintptr_t)(low - 1) * 8, entry, sizeof entry)) return 0;
  return header + (uintptr_t)(intptr_t)entry[1];
}

/* Make `frame` that of its caller; false at the end, or where the tables cannot be interpreted. Not
   inlined: its frame of 1 KiB would be on the stack of handlers that do not need it. */
static __attribute__((noinline, unused)) bool cp_step(struct cp_frame *frame) {
  struct cp_found_object object;
  struct cp_cie cie;
  uintptr_t pc = frame->is_exact ? frame->pc : frame->pc - 1;
  if (!cp_find_object(pc, &object) || object.eh_frame == NULL) return false;
  uintptr_t fde = cp_find_fde((uintptr_t)object.eh_frame, pc);
  if (fde == 0) return false;

  struct cp_bytes bytes = cp_bytes_at(fde, fde + 8);
  uint64_t length = cp_fixed(&bytes, 4);
  uint64_t back = cp_fixed(&bytes, 4);
  if (bytes.failed || length < 8 || length > (1u << 20) || back == 0) return false;
  if (!cp_read_cie(fde + 4 - (uintptr_t)back, &cie)) return false;
  if (cie.return_register != CP_RA) return false;
  bytes = cp_bytes_at(fde + 8, fde + 4 + (uintptr_t)length);
  uintptr_t begin = cp_encoded(&bytes, cie.encoding);
  uintptr_t range = cp_encoded(&bytes, cie.encoding & 0x0f);
  if (bytes.failed || pc - begin >= range) return false;
  if (cie.has_data) {
    uint64_t data = cp_uleb(&bytes);
    cp_go(&bytes, bytes.at + (uintptr_t)data);
  }

  struct cp_row row, initial;
  memset(&row, 0, sizeof row);
  row.cfa_register = CP_SP;
  if (!cp_run(cp_bytes_at(cie.program, cie.end), &cie, 0, UINTPTR_MAX, NULL, &row)) return false;
  initial = row;
  if (!cp_run(bytes, &cie, begin, pc, &initial, &row)) return false;

  uintptr_t cfa;
  if (row.cfa_register < 0) {
    if (!cp_evaluate((uintptr_t)row.cfa_offset, frame, false, 0, &cfa)) return false;
  } else {
    if (row.cfa_register >= CP_REGISTERS || !(frame->known >> row.cfa_register & 1)) return false;
    cfa = frame->registers[row.cfa_register] + (uintptr_t)row.cfa_offset;
  }
  struct cp_frame caller;
  caller.known = 0;
  for (int number = 0; number < CP_REGISTERS; number++) {
    int64_t operand = cp_rule_number(row.rules[number]);
    uintptr_t value = 0;
    bool is_known = true;
    switch (cp_rule_kind(row.rules[number])) {
    case CP_SAME:
      is_known = frame->known >> number & 1;
      if (is_known) value = frame->registers[number];
      break;
    case CP_UNDEFINED: is_known = false; break;
    case CP_AT_OFFSET: is_known = cp_peek(cfa + (uintptr_t)operand, &value, sizeof value); break;
    case CP_IS_OFFSET: value = cfa + (uintptr_t)operand; break;
    case CP_REGISTER:
      is_known = operand >= 0 && operand < CP_REGISTERS && (frame->known >> operand & 1);
      if (is_known) value = frame->registers[operand];
      break;
    case CP_AT_EXPRESSION:
      is_known = cp_evaluate((uintptr_t)operand, frame, true, cfa, &value) &&
                 cp_peek(value, &value, sizeof value);
      break;
    default: is_known = cp_evaluate((uintptr_t)operand, frame, true, cfa, &value); break;
    }
    caller.registers[number] = value;
    if (is_known) caller.known |= UINT64_C(1) << number;
  }
  if (!(caller.known >> CP_RA & 1) || caller.registers[CP_RA] == 0) return false;
  if (cp_rule_kind(row.rules[CP_SP]) == CP_SAME) {
    caller.registers[CP_SP] = cfa;
    caller.known |= UINT64_C(1) << CP_SP;
  }
  /* Stacks grow downwards: a frame that is not further up would cause a cycle. A signal may have
     come on another stack. */
  if (!cie.is_signal && caller.registers[CP_SP] <= frame->registers[CP_SP] &&
      !(caller.registers[CP_SP] == frame->registers[CP_SP] && frame->is_exact))
    return false;
  caller.pc = caller.registers[CP_RA];
  caller.is_exact = cie.is_signal;
#if defined(__x86_64__)
  caller.known &= ~(UINT64_C(1) << CP_RA);
#endif
  *frame = caller;
  return true;
}

/* The addresses of a thread that a handler with SA_SIGINFO interrupts, the innermost first: where
   it was, and then return addresses. Async-signal-safe; needs some 2 KiB of stack. Returns
   their number; 0 on machines that are not supported. */
static inline int cp_unwind(const void *context, void **addresses, int capacity) {
  const ucontext_t *interrupted = (const ucontext_t *)context;
  struct cp_frame frame;
  int count = 0;
#if defined(__x86_64__)
  /* In the order of DWARF's numbers: rax rdx rcx rbx rsi rdi rbp rsp r8 to r15; of
     <sys/ucontext.h>'s REG_R8 to REG_RIP. */
  static const uint8_t places[] = {13, 12, 14, 11, 9, 8, 10, 15, 0, 1, 2, 3, 4, 5, 6, 7};
  for (int i = 0; i < 16; i++)
    frame.registers[i] = (uintptr_t)interrupted->uc_mcontext.gregs[places[i]];
  frame.known = 0xffff;
  frame.pc = (uintptr_t)interrupted->uc_mcontext.gregs[16];
#elif defined(__aarch64__)
  for (int i = 0; i < 31; i++) frame.registers[i] = (uintptr_t)interrupted->uc_mcontext.regs[i];
  frame.registers[CP_SP] = (uintptr_t)interrupted->uc_mcontext.sp;
  frame.known = 0xffffffff;
  frame.pc = (uintptr_t)interrupted->uc_mcontext.pc;
#else
  (void)interrupted;
  return 0;
#endif
  frame.is_exact = true;
  while (count < capacity) {
    addresses[count++] = (void *)frame.pc;
    if (count == capacity || !cp_step(&frame)) break;
  }
  return count;
}

/* The number of the system call that a thread is in, or at, which a handler with SA_SIGINFO and
   SA_RESTART interrupts; -1: in none, or not known. Async-signal-safe.

   A call that continues after the handler because of SA_RESTART is made again: the kernel has set
   the thread back to the instruction, and the number to the register that it reads. The number of a
   call that ends with EINTR is lost. */
static inline int32_t cp_interrupted_call(const void *context) {
#if defined(__x86_64__)
  const ucontext_t *interrupted = (const ucontext_t *)context;
  long long number = interrupted->uc_mcontext.gregs[13], /* rax */
            pc = interrupted->uc_mcontext.gregs[16];     /* rip */
  uint8_t code[2];
  if (number < 0 || number > 0xfff || !cp_peek((uintptr_t)pc, code, sizeof code)) return -1;
  return code[0] == 0x0f && code[1] == 0x05 ? (int32_t)number : -1; /* syscall */
#else
  (void)context;
  return -1;
#endif
}

/* The address to which the function returns that calls this one. */
static inline __attribute__((always_inline)) uintptr_t cp_return_address(void) {
  return (uintptr_t)__builtin_return_address(0);
}

/* The return addresses of the calling thread, the innermost first, from where the library was
   called. If the library is a part of the program itself, its own addresses are included, because
   its end is not known. Returns their number; 0 on machines that are not supported. */
static __attribute__((noinline, unused)) int cp_callers(uintptr_t *addresses, int capacity) {
  struct cp_frame frame;
  memset(&frame, 0, sizeof frame);
  /* The registers that calls preserve, by DWARF's numbers. */
#if defined(__x86_64__)
  __asm__ volatile("movq %%rbx, 24(%1)\n\tmovq %%rbp, 48(%1)\n\tmovq %%rsp, 56(%1)\n\t"
                   "movq %%r12, 96(%1)\n\tmovq %%r13, 104(%1)\n\tmovq %%r14, 112(%1)\n\t"
                   "movq %%r15, 120(%1)\n\t"
                   "leaq 0f(%%rip), %0\n0:"
                   : "=&r"(frame.pc)
                   : "r"(frame.registers)
                   : "memory");
  frame.known = 0xf0c8;
#elif defined(__aarch64__)
  __asm__ volatile("stp x19, x20, [%1, #152]\n\tstp x21, x22, [%1, #168]\n\t"
                   "stp x23, x24, [%1, #184]\n\tstp x25, x26, [%1, #200]\n\t"
                   "stp x27, x28, [%1, #216]\n\tstp x29, x30, [%1, #232]\n\t"
                   "mov %0, sp\n\tstr %0, [%1, #248]\n\tadr %0, 0f\n0:"
                   : "=&r"(frame.pc)
                   : "r"(frame.registers)
                   : "memory");
  frame.known = 0xfff80000;
#else
  return 0;
#endif
  frame.is_exact = true;
  struct cp_found_object own, program, object;
  uintptr_t entry = (uintptr_t)getauxval(AT_ENTRY);
  bool is_apart = cp_find_object(frame.pc, &own) &&
                  !(cp_find_object(entry, &program) && program.link_map == own.link_map);
  int count = 0;
  while (count < capacity && cp_step(&frame)) {
    bool is_own = count == 0 && is_apart && cp_find_object(frame.pc - 1, &object) &&
                  object.link_map == own.link_map;
    if (!is_own) addresses[count++] = frame.pc;
  }
  return count;
}

#endif
