# Install rules: headers, library with its links, the command, archive, manual pages, examples, the schemas of what is
# written as JSON, taskreg.pc and the CMake package. The two last find the rest relative to themselves, so the prefix may
# be moved, and DESTDIR works.
#
# Components, for `cmake --install --component` and packages: runtime, development, tools, documentation. All that is in
# tools, and nothing else, is in Debian's package taskreg-tools.

include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/taskreg")

install(FILES include/taskreg.h include/taskreg.hpp DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development)
install(FILES "${TASKREG_LIBRARY_DIR}/libtaskreg.so" DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development)
install(FILES
  "${TASKREG_LIBRARY}" "${TASKREG_LIBRARY_DIR}/${TASKREG_SONAME}"
  DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT runtime
  PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
if(TARGET taskreg::taskreg-static)
  install(FILES "${TASKREG_ARCHIVE}" DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development)
endif()

if(TARGET taskreg_tool)
  install(PROGRAMS "${TASKREG_TOOL}" DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT tools)
  install(FILES share/taskreg.bash DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" RENAME taskreg
    COMPONENT tools)
endif()

install(FILES docs/schema/report.json docs/schema/snapshot.json docs/schema/ps.json docs/schema/threads.json
  DESTINATION "${CMAKE_INSTALL_DATADIR}/taskreg/schema" COMPONENT development)

# gdb finds it by the library's path, if it is installed under /usr; elsewhere one loads it by hand.
install(FILES share/taskreg-gdb.py DESTINATION "${CMAKE_INSTALL_DATADIR}/taskreg" COMPONENT development)
install(FILES share/taskreg-gdb.py DESTINATION "${CMAKE_INSTALL_DATADIR}/gdb/auto-load${CMAKE_INSTALL_FULL_LIBDIR}"
  RENAME "libtaskreg.so.${PROJECT_VERSION}-gdb.py" COMPONENT development)

include("${PROJECT_SOURCE_DIR}/cmake/TaskregManPages.cmake")

# The examples as they are: their CMakeLists.txt, and the Makefile of those in C, work against an installed library.
install(DIRECTORY examples-c/ DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/doc/libtaskreg/examples"
  COMPONENT documentation USE_SOURCE_PERMISSIONS)
install(DIRECTORY examples-cpp/ DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/doc/libtaskreg/examples-cpp"
  COMPONENT documentation)

# `cmake --install --strip`: CMake strips the targets it links itself, so this says it for ours.
foreach(dir LIBDIR BINDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
    set(stripped_${dir} "\$ENV{DESTDIR}${CMAKE_INSTALL_${dir}}")
  else()
    set(stripped_${dir} "\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
install(CODE "
if(CMAKE_INSTALL_DO_STRIP)
  execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-unneeded \"${stripped_LIBDIR}/libtaskreg.so.${PROJECT_VERSION}\")
endif()" COMPONENT runtime)
install(CODE "
if(CMAKE_INSTALL_DO_STRIP AND EXISTS \"${stripped_LIBDIR}/libtaskreg.a\")
  execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-debug \"${stripped_LIBDIR}/libtaskreg.a\")
endif()" COMPONENT development)

if(TARGET taskreg_tool)
  install(CODE "
if(CMAKE_INSTALL_DO_STRIP)
  execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-all \"${stripped_BINDIR}/taskreg\")
endif()" COMPONENT tools)
endif()

# taskreg.pc: prefix relative to the file's own place, unless a directory is absolute.
set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(pc_prefix "\${pcfiledir}/${up}")
endif()
foreach(dir LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
    set(pc_${dir} "${CMAKE_INSTALL_${dir}}")
  else()
    set(pc_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
configure_file(cmake/taskreg.pc.in taskreg.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/taskreg.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig"
  COMPONENT development)

configure_package_config_file(cmake/taskregConfig.cmake.in taskregConfig.cmake
  INSTALL_DESTINATION "${package_dir}"
  PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR
  NO_SET_AND_CHECK_MACRO)
# The SONAME says what is compatible: releases add to the interface until the major number changes.
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/taskregConfigVersion.cmake"
  VERSION "${PROJECT_VERSION}" COMPATIBILITY SameMajorVersion)
install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/taskregConfig.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/taskregConfigVersion.cmake"
  cmake/TaskregUsage.cmake
  DESTINATION "${package_dir}" COMPONENT development)
