# The manual pages, made from the header by scripts/manpages with Python 3, and installed. Without Python the library
# is built and installed as ever, without them; that of the command taskreg is in the sources as it is.

if(TARGET taskreg_tool)
  install(FILES docs/man/taskreg.1 DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT tools)
endif()

find_package(Python3 3.9 QUIET COMPONENTS Interpreter)
if(NOT Python3_Interpreter_FOUND)
  message(STATUS "No manual pages: they need Python 3.9 or newer (on Debian: apt-get install python3)")
  return()
endif()

set(TASKREG_MAN_DIR "${CMAKE_CURRENT_BINARY_DIR}/man")
add_custom_command(OUTPUT "${TASKREG_MAN_DIR}/stamp"
  COMMAND "${CMAKE_COMMAND}" -E make_directory "${TASKREG_MAN_DIR}"
  COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/scripts/manpages" "${PROJECT_SOURCE_DIR}/include/taskreg.h"
    "${PROJECT_SOURCE_DIR}/docs/man/taskreg.7" "${TASKREG_MAN_DIR}"
  COMMAND "${CMAKE_COMMAND}" -E touch "${TASKREG_MAN_DIR}/stamp"
  DEPENDS include/taskreg.h docs/man/taskreg.7 scripts/manpages
  COMMENT "Making the manual pages" VERBATIM)
add_custom_target(taskreg_man ALL DEPENDS "${TASKREG_MAN_DIR}/stamp")

install(DIRECTORY "${TASKREG_MAN_DIR}/man3" "${TASKREG_MAN_DIR}/man7" DESTINATION "${CMAKE_INSTALL_MANDIR}"
  COMPONENT documentation)
