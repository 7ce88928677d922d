# Builds libtaskreg.so.X.Y.Z with its links, libtaskreg.a and the command taskreg out of the assembly that a release
# brings (packaging/prebuilt), with a C compiler alone, and defines taskreg::taskreg and taskreg::taskreg-static.

enable_language(ASM)
add_library(taskreg_objects OBJECT "${TASKREG_ASSEMBLY}" packaging/prebuilt/compat.c)
set_target_properties(taskreg_objects PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
# No debug information of the assembly, which would be its lines; no bytecode, as the archive is made of machine code;
# and what unwinds the assembly's frames unwinds compat.c's.
set(options "$<$<COMPILE_LANGUAGE:ASM>:-g0>"
  "$<$<COMPILE_LANGUAGE:C>:-fno-lto;-fasynchronous-unwind-tables;-fno-omit-frame-pointer>")
target_compile_options(taskreg_objects PRIVATE ${options})
# The settings of Package.swift, for the library and the command alike.
set(hardened "LINKER:-z,relro" "LINKER:-z,now" "LINKER:--gc-sections" "LINKER:--as-needed")

add_library(taskreg_shared SHARED $<TARGET_OBJECTS:taskreg_objects>)
set_target_properties(taskreg_shared PROPERTIES
  OUTPUT_NAME taskreg
  LINKER_LANGUAGE C
  VERSION "${PROJECT_VERSION}"
  SOVERSION "${PROJECT_VERSION_MAJOR}"
  LIBRARY_OUTPUT_DIRECTORY "$<1:${TASKREG_LIBRARY_DIR}>"
  LINK_DEPENDS "${TASKREG_MAP}")
target_link_options(taskreg_shared PRIVATE
  "LINKER:--version-script=${TASKREG_MAP}" "LINKER:-z,nodelete" "LINKER:-z,defs" ${hardened})
target_link_libraries(taskreg_shared PRIVATE Threads::Threads)
target_include_directories(taskreg_shared INTERFACE "${PROJECT_SOURCE_DIR}/include")
add_library(taskreg::taskreg ALIAS taskreg_shared)

set(list "${CMAKE_CURRENT_BINARY_DIR}/$<CONFIG>-objects.txt")
file(GENERATE OUTPUT "${list}" CONTENT "$<JOIN:$<TARGET_OBJECTS:taskreg_objects>,\n>\n")
# The objects are files of another target; what make knows to be newer with them is the library.
taskreg_archive_of("${list}" DEPENDS taskreg_shared)

# The core is inside of the command once more, with the functions that ask another process.
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
add_executable(taskreg_tool "${TASKREG_TOOL_ASSEMBLY}" packaging/prebuilt/compat.c)
get_filename_component(directory "${TASKREG_TOOL}" DIRECTORY)
set_target_properties(taskreg_tool PROPERTIES
  OUTPUT_NAME taskreg
  LINKER_LANGUAGE C
  POSITION_INDEPENDENT_CODE ON
  C_VISIBILITY_PRESET hidden
  RUNTIME_OUTPUT_DIRECTORY "$<1:${directory}>")
target_compile_options(taskreg_tool PRIVATE ${options})
target_link_options(taskreg_tool PRIVATE ${hardened})
target_link_libraries(taskreg_tool PRIVATE Threads::Threads)
