# Finds what the build needs apart from a C compiler, and says in one message what is missing and
# how to get it. Sets TASKREG_SWIFT, TASKREG_SWIFTC, TASKREG_SWIFT_ROOT (the toolchain's usr),
# TASKREG_LD and TASKREG_OBJCOPY; and TASKREG_FROM_ASSEMBLY, whether the library is built from the
# assembly that a release brings, TASKREG_ASSEMBLY, without Swift; that of the command taskreg is
# TASKREG_TOOL_ASSEMBLY.

set(TASKREG_SWIFT_MINIMUM 6.3)
set(missing "")
set(install_swift
  "Install Swift ${TASKREG_SWIFT_MINIMUM} or newer from https://www.swift.org/install/linux/ and put `swift` on PATH, or configure with -DTASKREG_SWIFT=/path/to/swift")

# Which processor, by the compiler's name for it.
string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
string(REGEX REPLACE "^(amd64|x64)$" "x86_64" processor "${processor}")
string(REGEX REPLACE "^arm64$" "aarch64" processor "${processor}")
# The assembly has the types of one C library, so there is another for musl. C is not enabled yet.
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/libc.c" "#include <features.h>\nglibc __GLIBC__\n")
find_program(compiler NAMES ${CMAKE_C_COMPILER} $ENV{CC} cc gcc clang NO_CACHE)
execute_process(COMMAND "${compiler}" -E "${CMAKE_CURRENT_BINARY_DIR}/libc.c" OUTPUT_VARIABLE libc ERROR_QUIET)
if(libc MATCHES "glibc __GLIBC__")
  string(APPEND processor "-musl")
endif()
set(TASKREG_ASSEMBLY "${PROJECT_SOURCE_DIR}/packaging/prebuilt/taskreg-${processor}.s")
set(TASKREG_TOOL_ASSEMBLY "${PROJECT_SOURCE_DIR}/packaging/prebuilt/taskreg-tool-${processor}.s")

find_program(TASKREG_SWIFT swift DOC "The `swift` of a Swift ${TASKREG_SWIFT_MINIMUM} toolchain or newer")
if(NOT TASKREG_SWIFT)
  list(APPEND missing "Swift was not found. ${install_swift}")
else()
  execute_process(COMMAND "${TASKREG_SWIFT}" --version
    OUTPUT_VARIABLE swift_version_text ERROR_QUIET RESULT_VARIABLE swift_status)
  if(NOT swift_status EQUAL 0 OR NOT swift_version_text MATCHES "Swift version ([0-9]+\\.[0-9]+(\\.[0-9]+)?)")
    # Debian's python3-swiftclient has a command of the same name.
    list(APPEND missing "${TASKREG_SWIFT} is not a working Swift compiler. ${install_swift}")
  elseif(CMAKE_MATCH_1 VERSION_LESS TASKREG_SWIFT_MINIMUM)
    list(APPEND missing "${TASKREG_SWIFT} is Swift ${CMAKE_MATCH_1}, which is too old. ${install_swift}")
  else()
    set(TASKREG_SWIFT_VERSION "${CMAKE_MATCH_1}")
    # `swift` may be a launcher (swiftly): the compiler itself knows where its toolchain is.
    execute_process(COMMAND "${TASKREG_SWIFT}" -print-target-info
      OUTPUT_VARIABLE target_info ERROR_QUIET RESULT_VARIABLE swift_status)
    # It is JSON, which CMake before 3.19 cannot read.
    if(NOT swift_status EQUAL 0 OR NOT target_info MATCHES "\"runtimeResourcePath\" *: *\"([^\"]+)\"")
      list(APPEND missing "${TASKREG_SWIFT} does not say where its toolchain is. ${install_swift}")
    else()
      get_filename_component(TASKREG_SWIFT_ROOT "${CMAKE_MATCH_1}/../.." ABSOLUTE)
      set(TASKREG_SWIFTC "${TASKREG_SWIFT_ROOT}/bin/swiftc")
    endif()
  endif()
endif()

set(TASKREG_FROM_ASSEMBLY OFF)
if(TASKREG_PREBUILT STREQUAL "ON")
  set(missing "")
  set(TASKREG_FROM_ASSEMBLY ON)
  if(NOT EXISTS "${TASKREG_ASSEMBLY}")
    list(APPEND missing "TASKREG_PREBUILT is on and ${TASKREG_ASSEMBLY} is not there. A release's tarball has it, for x86_64 and aarch64; scripts/dist makes it")
  endif()
  if(TASKREG_SANITIZE OR NOT TASKREG_SWIFT_CONFIGURATION STREQUAL "release")
    list(APPEND missing "TASKREG_PREBUILT is on; the assembly is neither instrumented nor built for debugging. Turn it off, or TASKREG_SANITIZE off and TASKREG_SWIFT_CONFIGURATION to release")
  endif()
elseif(TASKREG_PREBUILT STREQUAL "AUTO" AND missing AND EXISTS "${TASKREG_ASSEMBLY}" AND NOT TASKREG_SANITIZE
       AND TASKREG_SWIFT_CONFIGURATION STREQUAL "release")
  set(missing "")
  set(TASKREG_FROM_ASSEMBLY ON)
endif()

find_package(PkgConfig QUIET)
if(TASKREG_FROM_ASSEMBLY)
  # pkg-config tells SwiftPM where POSIX threads are.
elseif(NOT PKG_CONFIG_FOUND)
  list(APPEND missing "pkg-config was not found. On Debian: apt-get install pkg-config libpthread-stubs0-dev")
else()
  pkg_check_modules(PTHREAD_STUBS QUIET pthread-stubs)
  if(NOT PTHREAD_STUBS_FOUND)
    list(APPEND missing "pkg-config does not know pthread-stubs. On Debian: apt-get install libpthread-stubs0-dev")
  endif()
endif()

# GNU ld and objcopy make the archive; ld.bfd is GNU ld also where `ld` is another linker.
find_program(TASKREG_LD NAMES ld.bfd ld DOC "GNU ld, for libtaskreg.a")
find_program(TASKREG_OBJCOPY NAMES objcopy DOC "GNU objcopy, for libtaskreg.a")
if(NOT TASKREG_LD OR NOT TASKREG_OBJCOPY)
  list(APPEND missing "GNU binutils (ld, objcopy) were not found. On Debian: apt-get install binutils")
endif()
mark_as_advanced(TASKREG_LD TASKREG_OBJCOPY)

if(missing)
  list(JOIN missing "\n  * " missing)
  # A wrong answer must not stick in the cache: what is installed now is found the next time.
  if(NOT TASKREG_SWIFT_VERSION)
    unset(TASKREG_SWIFT CACHE)
  endif()
  message(FATAL_ERROR "libtaskreg cannot be built here yet:\n  * ${missing}\nThen run cmake again.")
endif()
if(TASKREG_FROM_ASSEMBLY)
  file(STRINGS "${PROJECT_SOURCE_DIR}/packaging/prebuilt/COMPILER" compiler LIMIT_COUNT 1)
  message(STATUS "The library is built from assembly (${compiler}), without Swift")
  if(NOT TASKREG_SWIFT_VERSION)
    unset(TASKREG_SWIFT CACHE)
  endif()
else()
  message(STATUS "Swift ${TASKREG_SWIFT_VERSION}: ${TASKREG_SWIFT_ROOT}")
endif()
