# What a user of the archive has to pass to the linker. Read by the build and, installed beside
# taskregConfig.cmake, by find_package.

# Rule P3: a shared object that has the library inside must not be unmapped under a live worker,
# just as libtaskreg.so itself is not.
set(TASKREG_STATIC_LINK_OPTIONS
  "$<$<IN_LIST:$<TARGET_PROPERTY:TYPE>,SHARED_LIBRARY;MODULE_LIBRARY>:LINKER:-z,nodelete>")
