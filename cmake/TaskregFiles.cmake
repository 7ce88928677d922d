# Where the library, the archive and the command are in the build folder, however they are built; and how the
# archive is made.

set(TASKREG_LIBRARY_DIR "${CMAKE_CURRENT_BINARY_DIR}/lib")
set(TASKREG_SONAME "libtaskreg.so.${PROJECT_VERSION_MAJOR}")
set(TASKREG_LIBRARY "${TASKREG_LIBRARY_DIR}/libtaskreg.so.${PROJECT_VERSION}")
set(TASKREG_ARCHIVE "${TASKREG_LIBRARY_DIR}/libtaskreg.a")
set(TASKREG_TOOL "${CMAKE_CURRENT_BINARY_DIR}/bin/taskreg")
set(TASKREG_MAP "${PROJECT_SOURCE_DIR}/Sources/TaskRegistryC/taskreg.map")

# taskreg_archive_of(OBJECT_LIST DEPENDS FILE...): defines taskreg::taskreg-static, made by the
# target taskreg_archive out of the objects that the file OBJECT_LIST names.
function(taskreg_archive_of object_list)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" DEPENDS)
  add_custom_command(OUTPUT "${TASKREG_ARCHIVE}"
    COMMAND "${CMAKE_COMMAND}"
      "-DLD=${TASKREG_LD}" "-DOBJCOPY=${TASKREG_OBJCOPY}" "-DAR=${CMAKE_AR}"
      "-DOBJECT_LIST=${object_list}"
      "-DMAP=${TASKREG_MAP}" "-DARCHIVE=${TASKREG_ARCHIVE}"
      -P "${PROJECT_SOURCE_DIR}/cmake/MakeArchive.cmake"
    DEPENDS ${arg_DEPENDS} "${TASKREG_MAP}" "${PROJECT_SOURCE_DIR}/cmake/MakeArchive.cmake"
    COMMENT "Making libtaskreg.a" VERBATIM)
  add_custom_target(taskreg_archive ALL DEPENDS "${TASKREG_ARCHIVE}")

  add_library(taskreg::taskreg-static STATIC IMPORTED GLOBAL)
  add_dependencies(taskreg::taskreg-static taskreg_archive)
  include("${PROJECT_SOURCE_DIR}/cmake/TaskregUsage.cmake")
  set_target_properties(taskreg::taskreg-static PROPERTIES
    IMPORTED_LOCATION "${TASKREG_ARCHIVE}"
    INTERFACE_INCLUDE_DIRECTORIES "${PROJECT_SOURCE_DIR}/include"
    INTERFACE_LINK_LIBRARIES Threads::Threads
    INTERFACE_LINK_OPTIONS "${TASKREG_STATIC_LINK_OPTIONS}")
  set(TASKREG_STATIC_LINK_OPTIONS "${TASKREG_STATIC_LINK_OPTIONS}" PARENT_SCOPE)
endfunction()
