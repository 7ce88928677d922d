# TASKREG_SANITIZE: compile and link the programs of this build (examples, C tests) for the sanitizer
# the library was built with. TASKREG_VALGRIND: let ctest run them under valgrind. Both are set for
# the directory that includes this file, and what it adds afterwards.

if(TASKREG_SANITIZE)
  set(runtime "${TASKREG_SWIFT_ROOT}/lib/swift/linux")
  set(sanitizers ${TASKREG_SANITIZE})
  if(TASKREG_SANITIZE STREQUAL "address")
    # The two go together. Undefined behaviour is looked for in C; Swift traps on its own.
    set(sanitizers "address,undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
  add_compile_options(-fsanitize=${sanitizers} -fno-omit-frame-pointer -g)
  # gold, this clang's default, floods AddressSanitizer links with warnings.
  add_link_options(-fsanitize=${sanitizers} -fuse-ld=lld)
  # Programs that load the library at run time have the sanitizer's functions for it.
  add_link_options(-rdynamic)
  if(TASKREG_SANITIZE STREQUAL "thread")
    # The toolchain's ThreadSanitizer intercepts libdispatch, and so wants it present.
    link_libraries("${runtime}/libdispatch.so" "${runtime}/libBlocksRuntime.so")
  endif()
endif()

if(TASKREG_VALGRIND)
  find_program(TASKREG_VALGRIND_PROGRAM valgrind)
  if(NOT TASKREG_VALGRIND_PROGRAM)
    message(FATAL_ERROR "TASKREG_VALGRIND is on and valgrind was not found. On Debian: apt-get install valgrind")
  endif()
  # ctest puts this "emulator" before each program that is built here.
  set(CMAKE_CROSSCOMPILING_EMULATOR "${TASKREG_VALGRIND_PROGRAM}" --quiet --error-exitcode=99
    --fair-sched=yes --num-callers=30)
endif()
if(TASKREG_VALGRIND STREQUAL "helgrind")
  list(APPEND CMAKE_CROSSCOMPILING_EMULATOR --tool=helgrind --history-level=none
    "--suppressions=${PROJECT_SOURCE_DIR}/Tests/c/helgrind.supp")
elseif(TASKREG_VALGRIND)
  list(APPEND CMAKE_CROSSCOMPILING_EMULATOR
    --leak-check=full --errors-for-leak-kinds=definite,possible)
  # For programs that fork beside living threads. The child has the memory of threads that it does not
  # have, such as the C library's table of their thread-local storage: "possibly lost", and nobody's.
  set(TASKREG_VALGRIND_FORKING ${CMAKE_CROSSCOMPILING_EMULATOR}
    --show-leak-kinds=definite --errors-for-leak-kinds=definite)
endif()
