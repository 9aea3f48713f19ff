// Facts about this machine, this process and its directories.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace bench {

/// Processors, memory, kernel, and the file system of `directory`, in one line.
std::string machine_facts(const std::filesystem::path& directory);

/// Bytes that this process caused to be written to storage so far (write_bytes of /proc/self/io).
std::uint64_t written_bytes();
/// Waits until the process has written nothing for a while: its background work is over, or so slow that it does not count.
void wait_quiet();
/// Resident memory of this process now, and without the pages of mapped files.
std::uint64_t resident_bytes();
std::uint64_t resident_anonymous_bytes();
/// The sum of the files below a directory, as allocated on disk; with an extension, only of those that have it.
std::uint64_t directory_bytes(const std::filesystem::path& directory, const std::string& extension = {});
/// Hands what the file system still holds in memory to the device, so that one slice does not pay for another's writing.
void flush_file_system(const std::filesystem::path& directory);

}  // namespace bench
