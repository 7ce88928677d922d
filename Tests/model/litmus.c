/* litmus.c - small programs that show whether the machine of weak.c and races.c is right.

   Each program has an outcome that tells one order from another, and each is explored without any
   bound. An outcome that C++11 allows has to be reached, and one that it forbids must not be; where
   the machine reaches less than C++11 allows, the line says so. Most are the usual ones (Alglave,
   Maranget and Tautschnig, "Herding cats", TOPLAS 2014; Lahav and others, "Repairing sequential
   consistency in C/C++11", PLDI 2017), by their usual names.

   To be run without arguments; 1 is returned if a line is not as it should be. */

#include "scheduler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RLX = MODEL_RELAXED, ACQ = MODEL_ACQUIRE, REL = MODEL_RELEASE, AR = ACQ | REL, SC = AR | MODEL_SEQUENTIAL };
enum { NONE = -1 }; /* no fence */

static uint64_t x, y, z;
/* What the threads read, and what is left in the end. */
static unsigned r[4];
static int o[5];     /* the orders of this variant */
static uint64_t *data; /* ordinary memory */
static bool isReached;

static uint64_t operate(uint64_t *address, int kind, uint64_t operand, uint64_t expected, int order) {
  return model_atomic((struct model_operation){.address = address, .operand = operand, .expected = expected, .size = 8, .kind = kind, .order = order});
}
static unsigned load(uint64_t *address, int order) { return (unsigned)operate(address, MODEL_LOAD, 0, 0, order); }
static void store(uint64_t *address, uint64_t value, int order) { operate(address, MODEL_STORE, value, 0, order); }
static unsigned add(uint64_t *address, uint64_t value, int order) { return (unsigned)operate(address, MODEL_ADD, value, 0, order); }
static unsigned swap(uint64_t *address, uint64_t value, int order) { return (unsigned)operate(address, MODEL_EXCHANGE, value, 0, order); }
static bool compare(uint64_t *address, uint64_t expected, uint64_t value, int order) { return operate(address, MODEL_COMPARE, value, expected, order) == expected; }
static void fence(int order) { if (order != NONE) model_fence(order, NULL, 0); }

/* Ordinary memory, as code compiled with -sanitize=thread accesses it. */
void __tsan_read8(void *);
void __tsan_write8(void *);

/* Store buffering; o: the stores, the loads, the fences of both threads. */
static void sb0(void) { store(&x, 1, o[0]); fence(o[2]); r[0] = load(&y, o[1]); }
static void sb1(void) { store(&y, 1, o[0]); fence(o[3]); r[1] = load(&x, o[1]); }
static void sbx0(void) { swap(&x, 1, o[0]); r[0] = load(&y, o[1]); }
static void sbx1(void) { swap(&y, 1, o[0]); r[1] = load(&x, o[1]); }
/* Message passing; o: the store, the load, the fences. */
static void mp0(void) { store(&x, 1, RLX); fence(o[2]); store(&y, 1, o[0]); }
static void mp1(void) { r[0] = load(&y, o[1]); fence(o[3]); r[1] = load(&x, RLX); }
static void mpd0(void) { __tsan_write8(data); fence(o[2]); store(&y, 1, o[0]); }
static void mpd1(void) { if (load(&y, o[1]) == 1) { fence(o[3]); __tsan_read8(data); } }
/* Load buffering. */
static void lb0(void) { r[0] = load(&x, o[0]); store(&y, 1, o[1]); }
static void lb1(void) { r[1] = load(&y, o[0]); store(&x, 1, o[1]); }
/* Coherence. */
static void corr0(void) { store(&x, 1, RLX); }
static void corr1(void) { r[0] = load(&x, RLX); r[1] = load(&x, RLX); }
static void co2w(void) { store(&x, 2, RLX); }
static void co2r(void) { r[2] = load(&x, RLX); r[3] = load(&x, RLX); }
static void cowr(void) { store(&x, 2, RLX); r[0] = load(&x, RLX); }
static void corw(void) { r[0] = load(&x, RLX); store(&x, 2, RLX); }
/* Two stores each; o: the stores. */
static void w20(void) { store(&x, 1, o[0]); store(&y, 2, o[0]); }
static void w21(void) { store(&y, 1, o[0]); store(&x, 2, o[0]); }
/* Independent reads of independent writes; o: the stores, the loads, the fences. */
static void iriw0(void) { store(&x, 1, o[0]); }
static void iriw1(void) { store(&y, 1, o[0]); }
static void iriw2(void) { r[0] = load(&x, o[1]); fence(o[2]); r[1] = load(&y, o[1]); }
static void iriw3(void) { r[2] = load(&y, o[1]); fence(o[2]); r[3] = load(&x, o[1]); }
/* Write to read causality; o: the load, the store, the last load. */
static void wrc0(void) { store(&x, 1, RLX); }
static void wrc1(void) { r[0] = load(&x, o[0]); store(&y, 1, o[1]); }
static void wrc2(void) { r[1] = load(&y, o[2]); r[2] = load(&x, RLX); }
/* ISA2: message passing through a third thread. */
static void isa0(void) { store(&x, 1, RLX); store(&y, 1, REL); }
static void isa1(void) { r[0] = load(&y, o[0]); store(&z, 1, o[1]); }
static void isa2(void) { r[1] = load(&z, o[2]); r[2] = load(&x, RLX); }
/* Read to write causality; o: the store, the loads, the fences, the first thread's store. */
static void rwc0(void) { store(&x, 1, o[3]); }
static void rwc1(void) { r[0] = load(&x, o[1]); fence(o[2]); r[1] = load(&y, o[1]); }
static void rwc2(void) { store(&y, 1, o[0]); fence(o[2]); r[2] = load(&x, o[1]); }
/* S and R. */
static void s0(void) { store(&x, 2, RLX); store(&y, 1, o[0]); }
static void s1(void) { r[0] = load(&y, o[1]); store(&x, 1, RLX); }
static void r0(void) { store(&x, 1, o[0]); fence(o[2]); store(&y, 1, o[0]); }
static void r1(void) { store(&y, 2, o[0]); fence(o[2]); r[0] = load(&x, o[1]); }
/* Release sequences; o: the operation in the middle. */
static void rs0(void) { store(&x, 1, RLX); store(&y, 1, REL); }
static void rs1(void) { r[2] = add(&y, 1, o[0]); }
static void rs2(void) { r[0] = load(&y, ACQ); r[1] = load(&x, RLX); }
static void rsw1(void) { store(&y, 2, o[0]); }
static void rsc1(void) { r[2] = compare(&y, 1, 2, o[0]); }
static void rss0(void) { store(&x, 1, RLX); store(&y, 1, REL); store(&y, 2, o[0]); }
/* Updates are atomic. */
static void rmw0(void) { r[0] = add(&x, 1, RLX); }
static void rmw1(void) { r[1] = add(&x, 1, RLX); }
static void cas0(void) { r[0] = compare(&x, 0, 1, RLX); }
static void cas1(void) { r[1] = compare(&x, 0, 2, RLX); }
static void upd(void) { r[1] = add(&x, 10, RLX); }
/* An update that acquires learns, and a compare-and-swap that fails learns as a load does. */
static void mpu1(void) { r[0] = add(&y, 0, o[1]); r[1] = load(&x, RLX); }
static void mpf1(void) { r[0] = compare(&y, 7, 8, o[1]) ? 0 : load(&y, RLX); r[1] = load(&x, RLX); }
static void mpf2(void) { r[0] = (unsigned)operate(&y, MODEL_COMPARE, 8, 7, o[1]); r[1] = load(&x, RLX); }
/* The order of sequentially consistent events, and what a thread learns relaxed. */
static void so0(void) { store(&x, 1, SC); store(&y, 1, RLX); }
static void so1(void) { r[0] = load(&y, RLX); store(&z, 1, SC); }
static void so2(void) { r[1] = load(&z, SC); r[2] = load(&x, SC); }
/* The last reference frees; o: the count, the fence before the free. */
static void ref(void) {
  __tsan_read8(data);
  if (operate(&z, MODEL_ADD, (uint64_t)-1, 0, o[0]) == 1) {
    fence(o[2]);
    free(data);
  }
}
static void mutex0(void);
static pthread_mutex_t mutex;
static void mutex0(void) {
  pthread_mutex_lock(&mutex);
  __tsan_write8(data);
  pthread_mutex_unlock(&mutex);
  if (o[0] == NONE) __tsan_read8(data);
}

enum expected {
  ALLOWED,   /* reached */
  FORBIDDEN, /* never reached */
  LIMIT,     /* C++11 allows it, and this machine does not reach it */
  RACE,      /* ordinary memory is accessed unordered */
  CLEAN      /* it is not */
};

struct litmus {
  const char *name;
  void (*threads[4])(void);
  int orders[5];
  /* The outcome: r0 to r3, then x and y in the end; a point: any. */
  const char *outcome;
  enum expected expected;
};

#define T(...) {__VA_ARGS__}
static const struct litmus all[] = {
  {"SB, relaxed", T(sb0, sb1), {RLX, RLX, NONE, NONE}, "00", ALLOWED},
  {"SB, release and acquire", T(sb0, sb1), {REL, ACQ, NONE, NONE}, "00", ALLOWED},
  {"SB, stores seq_cst, loads acquire", T(sb0, sb1), {SC, ACQ, NONE, NONE}, "00", ALLOWED},
  {"SB, stores release, loads seq_cst", T(sb0, sb1), {REL, SC, NONE, NONE}, "00", ALLOWED},
  {"SB, seq_cst", T(sb0, sb1), {SC, SC, NONE, NONE}, "00", FORBIDDEN},
  {"SB, seq_cst", T(sb0, sb1), {SC, SC, NONE, NONE}, "11", ALLOWED},
  {"SB, seq_cst fences", T(sb0, sb1), {RLX, RLX, SC, SC}, "00", FORBIDDEN},
  {"SB, one seq_cst fence", T(sb0, sb1), {RLX, RLX, SC, NONE}, "00", ALLOWED},
  {"SB, acq_rel fences", T(sb0, sb1), {RLX, RLX, AR, AR}, "00", ALLOWED},
  {"SB, one seq_cst, one acq_rel fence", T(sb0, sb1), {RLX, RLX, SC, AR}, "00", ALLOWED},
  {"SB, one fence, the rest seq_cst", T(sb0, sb1), {SC, SC, SC, NONE}, "00", FORBIDDEN},
  {"SB, exchanges seq_cst, loads seq_cst", T(sbx0, sbx1), {SC, SC}, "00", FORBIDDEN},
  {"SB, exchanges seq_cst, loads acquire", T(sbx0, sbx1), {SC, ACQ}, "00", ALLOWED},
  {"SB, exchanges acq_rel, loads seq_cst", T(sbx0, sbx1), {AR, SC}, "00", ALLOWED},
  {"MP, relaxed", T(mp0, mp1), {RLX, RLX, NONE, NONE}, "10", ALLOWED},
  {"MP, release and relaxed", T(mp0, mp1), {REL, RLX, NONE, NONE}, "10", ALLOWED},
  {"MP, relaxed and acquire", T(mp0, mp1), {RLX, ACQ, NONE, NONE}, "10", ALLOWED},
  {"MP, release and acquire", T(mp0, mp1), {REL, ACQ, NONE, NONE}, "10", FORBIDDEN},
  {"MP, release and acquire", T(mp0, mp1), {REL, ACQ, NONE, NONE}, "11", ALLOWED},
  {"MP, release and acquire", T(mp0, mp1), {REL, ACQ, NONE, NONE}, "01", ALLOWED},
  {"MP, fences", T(mp0, mp1), {RLX, RLX, REL, ACQ}, "10", FORBIDDEN},
  {"MP, release fence and acquire", T(mp0, mp1), {RLX, ACQ, REL, NONE}, "10", FORBIDDEN},
  {"MP, release and acquire fence", T(mp0, mp1), {REL, RLX, NONE, ACQ}, "10", FORBIDDEN},
  {"MP, a release fence alone", T(mp0, mp1), {RLX, RLX, REL, NONE}, "10", ALLOWED},
  {"MP, an acquire fence alone", T(mp0, mp1), {RLX, RLX, NONE, ACQ}, "10", ALLOWED},
  {"MP, fences the wrong way round", T(mp0, mp1), {RLX, RLX, ACQ, REL}, "10", ALLOWED},
  {"MP, seq_cst fences", T(mp0, mp1), {RLX, RLX, SC, SC}, "10", FORBIDDEN},
  {"MP, release and an update that acquires", T(mp0, mpu1), {REL, ACQ, NONE}, "10", FORBIDDEN},
  {"MP, release and a relaxed update", T(mp0, mpu1), {REL, RLX, NONE}, "10", ALLOWED},
  {"MP, release and a failed swap, acq_rel", T(mp0, mpf2), {REL, AR, NONE}, "10", FORBIDDEN},
  {"MP, release and a failed swap, release", T(mp0, mpf2), {REL, REL, NONE}, "10", ALLOWED},
  {"MP, release and a failed swap, relaxed", T(mp0, mpf1), {REL, RLX, NONE}, "10", ALLOWED},
  {"LB, relaxed", T(lb0, lb1), {RLX, RLX}, "11", LIMIT},
  {"LB, acquire and release", T(lb0, lb1), {ACQ, REL}, "11", FORBIDDEN},
  {"CoRR", T(corr0, corr1), {0}, "10", FORBIDDEN},
  {"CoRR", T(corr0, corr1), {0}, "01", ALLOWED},
  {"CoRR, two writers, two readers", T(corr0, co2w, corr1, co2r), {0}, "1221", FORBIDDEN},
  {"CoRR, two writers, two readers", T(corr0, co2w, corr1, co2r), {0}, "1212", ALLOWED},
  {"CoRR, two writers, two readers", T(corr0, co2w, corr1, co2r), {0}, "2121", ALLOWED},
  {"CoWR", T(corr0, cowr), {0}, "0", FORBIDDEN},
  {"CoWR", T(corr0, cowr), {0}, "1...2.", FORBIDDEN},
  {"CoWR", T(corr0, cowr), {0}, "1...1.", ALLOWED},
  {"CoRW", T(corr0, corw), {0}, "1...1.", FORBIDDEN},
  {"CoRW", T(corr0, corw), {0}, "0...1.", ALLOWED},
  {"2+2W, relaxed", T(w20, w21), {RLX}, "....11", ALLOWED},
  {"2+2W, release", T(w20, w21), {REL}, "....11", ALLOWED},
  {"2+2W, seq_cst", T(w20, w21), {SC}, "....11", FORBIDDEN},
  {"IRIW, relaxed", T(iriw0, iriw1, iriw2, iriw3), {RLX, RLX, NONE}, "1010", ALLOWED},
  {"IRIW, release and acquire", T(iriw0, iriw1, iriw2, iriw3), {REL, ACQ, NONE}, "1010", ALLOWED},
  {"IRIW, seq_cst", T(iriw0, iriw1, iriw2, iriw3), {SC, SC, NONE}, "1010", FORBIDDEN},
  {"IRIW, seq_cst fences", T(iriw0, iriw1, iriw2, iriw3), {RLX, RLX, SC}, "1010", FORBIDDEN},
  {"IRIW, stores seq_cst, loads acquire", T(iriw0, iriw1, iriw2, iriw3), {SC, ACQ, NONE}, "1010", ALLOWED},
  {"WRC, relaxed", T(wrc0, wrc1, wrc2), {RLX, RLX, RLX}, "110", ALLOWED},
  {"WRC, release and acquire", T(wrc0, wrc1, wrc2), {ACQ, REL, ACQ}, "110", FORBIDDEN},
  {"WRC, the first load relaxed", T(wrc0, wrc1, wrc2), {RLX, REL, ACQ}, "110", FORBIDDEN},
  {"WRC, the store relaxed", T(wrc0, wrc1, wrc2), {ACQ, RLX, ACQ}, "110", ALLOWED},
  {"WRC, the last load relaxed", T(wrc0, wrc1, wrc2), {ACQ, REL, RLX}, "110", ALLOWED},
  {"ISA2, release and acquire", T(isa0, isa1, isa2), {ACQ, REL, ACQ}, "110", FORBIDDEN},
  {"ISA2, the first load relaxed", T(isa0, isa1, isa2), {RLX, REL, ACQ}, "110", ALLOWED},
  {"ISA2, the second store relaxed", T(isa0, isa1, isa2), {ACQ, RLX, ACQ}, "110", ALLOWED},
  {"RWC, release and acquire", T(rwc0, rwc1, rwc2), {REL, ACQ, NONE, REL}, "100", ALLOWED},
  {"RWC, seq_cst", T(rwc0, rwc1, rwc2), {SC, SC, NONE, SC}, "100", FORBIDDEN},
  {"RWC, seq_cst, the first store relaxed", T(rwc0, rwc1, rwc2), {SC, SC, NONE, RLX}, "100", FORBIDDEN},
  {"RWC, seq_cst fences", T(rwc0, rwc1, rwc2), {RLX, RLX, SC, RLX}, "100", FORBIDDEN},
  {"S, relaxed", T(s0, s1), {RLX, RLX}, "1...2.", ALLOWED},
  {"S, release and acquire", T(s0, s1), {REL, ACQ}, "1...2.", FORBIDDEN},
  {"R, release and acquire", T(r0, r1), {REL, ACQ, NONE}, "0....2", ALLOWED},
  {"R, seq_cst", T(r0, r1), {SC, SC, NONE}, "0....2", FORBIDDEN},
  {"R, seq_cst fences", T(r0, r1), {RLX, RLX, SC}, "0....2", FORBIDDEN},
  {"release sequence, a relaxed update", T(rs0, rs1, rs2), {RLX}, "201", FORBIDDEN},
  {"release sequence, a relaxed update", T(rs0, rs1, rs2), {RLX}, "211", ALLOWED},
  {"release sequence, a relaxed swap", T(rs0, rsc1, rs2), {RLX}, "201", FORBIDDEN},
  {"release sequence, another's store", T(rs0, rsw1, rs2), {RLX}, "20...2", ALLOWED},
  {"release sequence, its own store, C++20", T(rss0, rs2), {RLX}, "20", ALLOWED},
  {"release sequence, its own store releases", T(rss0, rs2), {REL}, "20", FORBIDDEN},
  {"updates: both count", T(rmw0, rmw1), {0}, "00", FORBIDDEN},
  {"updates: both count", T(rmw0, rmw1), {0}, "01..2.", ALLOWED},
  {"updates: one swap wins", T(cas0, cas1), {0}, "11", FORBIDDEN},
  {"updates: one swap wins", T(cas0, cas1), {0}, "00", FORBIDDEN},
  {"updates: nothing comes in between", T(corr0, upd), {0}, ".0..A.", FORBIDDEN},
  {"updates: nothing comes in between", T(corr0, upd), {0}, ".1..B.", ALLOWED},
  {"updates: a store that comes after", T(corr0, upd), {0}, ".0..1.", ALLOWED},
  {"S and relaxed knowledge", T(so0, so1, so2), {0}, "110", LIMIT},
  {"memory, relaxed and acquire", T(mpd0, mpd1), {RLX, ACQ, NONE, NONE}, "", RACE},
  {"memory, release and relaxed", T(mpd0, mpd1), {REL, RLX, NONE, NONE}, "", RACE},
  {"memory, release and acquire", T(mpd0, mpd1), {REL, ACQ, NONE, NONE}, "", CLEAN},
  {"memory, seq_cst", T(mpd0, mpd1), {SC, SC, NONE, NONE}, "", CLEAN},
  {"memory, fences", T(mpd0, mpd1), {RLX, RLX, REL, ACQ}, "", CLEAN},
  {"memory, one fence", T(mpd0, mpd1), {RLX, RLX, REL, NONE}, "", RACE},
  {"memory, a mutex", T(mutex0, mutex0), {RLX}, "", CLEAN},
  {"memory, a mutex for one of two", T(mutex0, mutex0), {NONE}, "", RACE},
  {"free, acq_rel", T(ref, ref), {AR, 0, NONE}, "", CLEAN},
  {"free, release and a fence", T(ref, ref), {REL, 0, ACQ}, "", CLEAN},
  {"free, release", T(ref, ref), {REL, 0, NONE}, "", RACE},
  {"free, acquire", T(ref, ref), {ACQ, 0, NONE}, "", RACE},
  {"free, relaxed", T(ref, ref), {RLX, 0, NONE}, "", RACE},
};

static const struct litmus *program;

static char digit(uint64_t value) { return (char)(value < 10 ? '0' + value : 'A' + (value - 10)); }

static void body(void) {
  memset(r, 0, sizeof r);
  int order = MODEL_RELAXED;
  pthread_mutex_init(&mutex, NULL);
  data = malloc(8);
  __tsan_write8(data);
  store(&z, program->threads[0] == ref ? 2 : 0, order);
  for (int i = 0; i < 4 && program->threads[i] != NULL; i++) model_thread(program->threads[i]);
  model_await_others();
  char outcome[7] = {digit(r[0]), digit(r[1]), digit(r[2]), digit(r[3]), digit(load(&x, order)), digit(load(&y, order)), 0};
  if (program->threads[0] != ref) free(data);
  bool isSame = true;
  for (size_t i = 0; i < strlen(program->outcome); i++)
    if (program->outcome[i] != '.' && program->outcome[i] != outcome[i]) isSame = false;
  if (isSame) isReached = true;
}

enum { REACHED = 10, NOT_REACHED };

/* Explores it in a process of its own, as a race ends it. */
static int explore(void) {
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    if (program->expected == RACE) freopen("/dev/null", "w", stderr);
    memcpy(o, program->orders, sizeof o);
    struct model_run run = {program->name, body, -1, 0, true, -1};
    struct model_result result = model_explore(&run);
    printf("%8llu states ", (unsigned long long)result.states);
    fflush(NULL);
    _exit(isReached ? REACHED : NOT_REACHED);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void) {
  int wrong = 0;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    program = &all[i];
    int result = explore();
    bool isRight = false;
    const char *what = "";
    switch (program->expected) {
      case ALLOWED: isRight = result == REACHED; what = "allowed"; break;
      case FORBIDDEN: isRight = result == NOT_REACHED; what = "forbidden"; break;
      case LIMIT: isRight = result == NOT_REACHED; what = "allowed, not explored"; break;
      case RACE: isRight = result == 1; what = "a race"; break;
      case CLEAN: isRight = result == REACHED; what = "no race"; break;
    }
    if (result == 1) printf("%8s        ", "-");
    printf("%-44s %-7s %s%s\n", program->name, program->outcome, what, isRight ? "" : ": WRONG");
    if (!isRight) wrong++;
  }
  printf("litmus: %zu lines, %d wrong\n", sizeof all / sizeof *all, wrong);
  return wrong != 0;
}
