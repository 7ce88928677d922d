"""Conan recipe for libtaskreg, of a release's tarball: built by a C compiler alone.

   tar -xf libtaskreg-0.2.0.tar.xz && conan create libtaskreg-0.2.0/packaging/conan
"""

import os

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.cmake import CMake, CMakeToolchain
from conan.tools.files import copy


class LibtaskregConan(ConanFile):
    name = "libtaskreg"
    version = "0.2.0"
    license = "Apache-2.0"
    description = "Named, listed, cancellable threads that are joined with a deadline"
    settings = "os", "arch", "compiler", "build_type"
    package_type = "shared-library"

    def export_sources(self):
        # The recipe is in packaging/conan of the tarball, whose files are the sources.
        root = os.path.join(self.recipe_folder, "..", "..")
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "docs/*", "examples-c/*", "examples-cpp/*",
                        "scripts/manpages", "share/*", "packaging/prebuilt/*", "Sources/TaskRegistryC/taskreg.map"):
            copy(self, pattern, root, self.export_sources_folder)

    def validate(self):
        if self.settings.os != "Linux" or self.settings.arch not in ("x86_64", "armv8"):
            raise ConanInvalidConfiguration("libtaskreg runs on Linux on x86-64 and aarch64")

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["TASKREG_PREBUILT"] = "ON"
        toolchain.cache_variables["TASKREG_TESTS"] = "OFF"
        toolchain.cache_variables["TASKREG_EXAMPLES"] = "OFF"
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()

    def package_info(self):
        self.cpp_info.libs = ["taskreg"]
        self.cpp_info.system_libs = ["pthread"]
        self.cpp_info.set_property("cmake_file_name", "taskreg")
        self.cpp_info.set_property("cmake_target_name", "taskreg::taskreg")
        self.cpp_info.set_property("pkg_config_name", "taskreg")
