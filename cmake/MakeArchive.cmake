# Makes libtaskreg.a out of the Embedded Swift objects. Run with -P and LD, OBJCOPY, AR,
# OBJECT_LIST (a file naming the objects), MAP (the version script) and ARCHIVE.
#
# An Embedded object defines weak swift_retain, swift_allocObject, … with default or hidden
# visibility. In an archive those would meet the real runtime's, or those of somebody else's
# Embedded library, at the user's link. So there is one object, in which all is resolved already
# and only tr_* is global:
#
# 1. ld -r links the objects into one. Groups are dissolved: the linker discards all but one group
#    of a name, also when the name has become local to another library. What no tr_ function
#    reaches is left out.
# 2. objcopy makes every other symbol local, and drops the sections with which the Swift compiler
#    tells swiftc what to link: a user of the archive links it with any compiler.

file(STRINGS "${MAP}" map_lines REGEX "^ *tr_[a-z0-9_]+;")
set(roots "")
set(keep "")
foreach(line IN LISTS map_lines)
  string(REGEX MATCH "tr_[a-z0-9_]+" symbol "${line}")
  list(APPEND roots -u ${symbol})
  list(APPEND keep --keep-global-symbol=${symbol})
endforeach()
if(NOT roots)
  message(FATAL_ERROR "${MAP} lists no tr_ function; restore it.")
endif()

set(object "${ARCHIVE}.o")
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    file(REMOVE "${ARCHIVE}" "${object}")
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "making libtaskreg.a failed (${status}): ${command}")
  endif()
endfunction()

run("${LD}" -r --force-group-allocation --gc-sections ${roots} -o "${object}" "@${OBJECT_LIST}")
run("${OBJCOPY}" ${keep}
  --remove-section=.swift1_autolink_entries
  --remove-section=.linker-options
  --remove-section=.swift_modhash
  "${object}")
file(REMOVE "${ARCHIVE}")
get_filename_component(directory "${ARCHIVE}" DIRECTORY)
file(RENAME "${object}" "${directory}/taskreg.o")
run("${AR}" rcsD "${ARCHIVE}" "${directory}/taskreg.o")
file(REMOVE "${directory}/taskreg.o")
