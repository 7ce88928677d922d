# Builds libtaskreg.so.X.Y.Z with its links, and libtaskreg.a, out of SwiftPM's build, and defines
# taskreg::taskreg and taskreg::taskreg-static.
#
# SwiftPM tracks its own dependencies, so it is asked on every build; its result is copied only if
# it differs, so nothing is linked again needlessly.

set(TASKREG_SCRATCH "${CMAKE_CURRENT_BINARY_DIR}/swiftpm")

set(taskreg_swift_build
  # SwiftPM would take CC for the compiler of its own C targets; it has a clang of its own.
  # TASKREG_C: the manifest has the C targets then.
  "${CMAKE_COMMAND}" -E env --unset=CC --unset=CXX TASKREG_C=yes
  "${TASKREG_SWIFT}" build
  --package-path "${PROJECT_SOURCE_DIR}"
  --scratch-path "${TASKREG_SCRATCH}"
  --build-system native              # the layout read below is that of the native build system
  --configuration "${TASKREG_SWIFT_CONFIGURATION}"
  --product taskreg
  --disable-local-rpath              # the library needs libc alone, which is not beside it
  # One section for each function, so that the linker can leave out what nothing calls; and the
  # toolchain's own linker, which then forgets what only that called: gold, the default, would keep
  # a dependency on glibc 2.36 (arc4random_buf) that no code of the library has.
  -Xswiftc -Xfrontend -Xswiftc -function-sections
  # All functions in one object: LLVM writes unwind tables (.eh_frame) for all functions of an object or for none,
  # and for all if one of them comes from C. Without them a backtrace, gdb on a stripped library and perf stop at
  # the library's frames, and never show who called it.
  -Xswiftc -Xfrontend -Xswiftc -enable-single-module-llvm-emission
  -Xswiftc -use-ld=lld)
if(TASKREG_SANITIZE)
  list(APPEND taskreg_swift_build --sanitize=${TASKREG_SANITIZE})
endif()

if(TASKREG_FUZZ)
  list(APPEND taskreg_swift_build
    -Xswiftc -sanitize-coverage=edge,inline-8bit-counters,pc-table)
endif()

# What SwiftPM does not track: C headers, which Swift imports (measured on 6.3.1), and the version
# script, which is named in linker flags alone. When one has changed, SwiftPM starts anew.
file(GLOB untracked CONFIGURE_DEPENDS
  "${PROJECT_SOURCE_DIR}/include/*.h" "${PROJECT_SOURCE_DIR}/include/*.modulemap"  # taskreg.hpp is C++ programs' alone
  "${PROJECT_SOURCE_DIR}/Sources/CPlatform/include/*")
list(APPEND untracked "${TASKREG_MAP}")
set(untracked_stamp "${CMAKE_CURRENT_BINARY_DIR}/swiftpm.stamp")
add_custom_command(OUTPUT "${untracked_stamp}"
  COMMAND "${CMAKE_COMMAND}" -E remove_directory "${TASKREG_SCRATCH}"
  COMMAND "${CMAKE_COMMAND}" -E touch "${untracked_stamp}"
  DEPENDS ${untracked}
  COMMENT "A header or the version script is new: the library is compiled anew" VERBATIM)

file(MAKE_DIRECTORY "${TASKREG_LIBRARY_DIR}")
add_custom_target(taskreg_swiftpm ALL
  COMMAND ${taskreg_swift_build}
  COMMAND "${CMAKE_COMMAND}" -E copy_if_different
    "${TASKREG_SCRATCH}/${TASKREG_SWIFT_CONFIGURATION}/libtaskreg.so" "${TASKREG_LIBRARY}"
  COMMAND "${CMAKE_COMMAND}" -E create_symlink
    "libtaskreg.so.${PROJECT_VERSION}" "${TASKREG_LIBRARY_DIR}/${TASKREG_SONAME}"
  COMMAND "${CMAKE_COMMAND}" -E create_symlink
    "${TASKREG_SONAME}" "${TASKREG_LIBRARY_DIR}/libtaskreg.so"
  BYPRODUCTS "${TASKREG_LIBRARY}" "${TASKREG_LIBRARY_DIR}/${TASKREG_SONAME}"
    "${TASKREG_LIBRARY_DIR}/libtaskreg.so"
  DEPENDS "${untracked_stamp}"
  WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
  COMMENT "Building libtaskreg with SwiftPM"
  USES_TERMINAL VERBATIM)
set_property(DIRECTORY APPEND PROPERTY ADDITIONAL_CLEAN_FILES "${TASKREG_SCRATCH}")

# The command taskreg, which has the core inside and needs libc alone. It is shipped as it is, not instrumented.
if(NOT TASKREG_SANITIZE)
  string(REPLACE ";--product;taskreg;" ";--product;taskreg-tool;" taskreg_tool_build "${taskreg_swift_build}")
  file(MAKE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/bin")
  add_custom_target(taskreg_tool ALL
    COMMAND ${taskreg_tool_build}
    COMMAND "${CMAKE_COMMAND}" -E copy_if_different
      "${TASKREG_SCRATCH}/${TASKREG_SWIFT_CONFIGURATION}/taskreg-tool" "${TASKREG_TOOL}"
    BYPRODUCTS "${TASKREG_TOOL}"
    DEPENDS "${untracked_stamp}"
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
    COMMENT "Building the command taskreg with SwiftPM"
    USES_TERMINAL VERBATIM)
  add_dependencies(taskreg_tool taskreg_swiftpm)  # which builds in the same folder
endif()

add_library(taskreg::taskreg SHARED IMPORTED GLOBAL)
add_dependencies(taskreg::taskreg taskreg_swiftpm)
set_target_properties(taskreg::taskreg PROPERTIES
  IMPORTED_LOCATION "${TASKREG_LIBRARY}"
  IMPORTED_SONAME "${TASKREG_SONAME}"
  INTERFACE_INCLUDE_DIRECTORIES "${PROJECT_SOURCE_DIR}/include")

# An instrumented archive would be of use to nobody.
if(NOT TASKREG_SANITIZE)
  taskreg_archive_of("${TASKREG_SCRATCH}/${TASKREG_SWIFT_CONFIGURATION}/taskreg.product/Objects.LinkFileList"
    DEPENDS "${TASKREG_LIBRARY}")
  add_dependencies(taskreg_archive taskreg_swiftpm)
endif()
