# vcpkg's port of libtaskreg, in a release's tarball: built by a C compiler alone.
#
#   tar -xf libtaskreg-0.2.0.tar.xz && vcpkg install libtaskreg --overlay-ports=libtaskreg-0.2.0/packaging/vcpkg

# The port is in packaging/vcpkg of the tarball, whose files are the sources.
set(SOURCE_PATH "${CURRENT_PORT_DIR}/../../..")
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS -DTASKREG_PREBUILT=ON -DTASKREG_TESTS=OFF -DTASKREG_EXAMPLES=OFF)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME taskreg CONFIG_PATH lib/cmake/taskreg)
vcpkg_fixup_pkgconfig()
vcpkg_copy_tools(TOOL_NAMES taskreg AUTO_CLEAN)
# Both kinds of library are installed, whatever the triplet prefers: a program that links the archive gets a copy of
# the core of its own, and one that is linked with a plug-in's has to take the shared one.
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/debug/share")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
