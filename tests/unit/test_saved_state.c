/* A suspended VM on disk: the copy of memory, the signed manifest, and when it may be used. */
#include "test.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "project/saved.h"
#include "supervisor/saved_key.h"
#include "supervisor/saved_ram.h"
#include "supervisor/saved_state.h"
#include "unit/saved_rig.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the place of base/fault.c: the n-th operation on the disk, from 1, fails or ends the process. */
static int faults_seen;
static int fault_at;
static bool fault_kills;

int fault_point(const char *operation, const char *name)
{
	(void)operation;
	(void)name;
	if (++faults_seen != fault_at)
		return 0;
	if (fault_kills)
		_exit(0);
	errno = EIO;
	return -1;
}

static const struct identity another = {.hex = "ffeeddccbbaa99887766554433221100"};

/* -- memory -- */

static void memory_comes_back_and_what_is_zero_takes_no_room(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_close int from = memory(RAM_BYTES + 4097);
	auto_close int to = memory(RAM_BYTES + 4097);
	uint64_t sums[9];
	struct err err = ERR_INIT;
	struct stat st;

	put(from, 0, "begin", 5);
	put(from, (3 << 20) - 2, "over a border", 13);
	put(from, (5 << 20), (char[4096]){0}, 4096); /* touched, but zero */
	put(from, (off_t)RAM_BYTES + 4096, "e", 1);
	temp_dir_put(&dir, "file", "", 0);
	auto_close int file = openat(dir.fd, "file", O_RDWR | O_CLOEXEC);
	CHECK_INT(saved_pieces(RAM_BYTES + 4097), 9);
	CHECK_INT(saved_ram_write(from, file, RAM_BYTES + 4097, sums, NULL, &err), 0);
	CHECK(sums[0] && !sums[1] && sums[2] && sums[3] && !sums[5] && sums[8]);
	CHECK(fstat(file, &st) == 0 && st.st_size == (off_t)RAM_BYTES + 4097);
	CHECK(st.st_blocks * 512 <= 64 << 10);
	CHECK_INT(saved_ram_read(file, to, RAM_BYTES + 4097, sums, NULL, &err), 0);
	CHECK(same(from, to, RAM_BYTES + 4097));
	CHECK(fstat(to, &st) == 0 && st.st_blocks * 512 <= 64 << 10);
}

static void a_flipped_bit_and_a_short_file_are_noticed(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_close int from = memory(RAM_BYTES);
	uint64_t sums[8];
	struct err err = ERR_INIT;

	for (off_t at = 0; at < (off_t)RAM_BYTES; at += 100000)
		put(from, at, "data", 4);
	temp_dir_put(&dir, "file", "", 0);
	auto_close int file = openat(dir.fd, "file", O_RDWR | O_CLOEXEC);
	CHECK_INT(saved_ram_write(from, file, RAM_BYTES, sums, NULL, &err), 0);
	for (off_t at = 0; at < (off_t)RAM_BYTES; at += 160001) {
		auto_close int to = memory(RAM_BYTES);

		flip(&dir, "file", at);
		err.code = ERR_NONE;
		CHECK_INT(saved_ram_read(file, to, RAM_BYTES, sums, NULL, &err), -1);
		CHECK_INT(err.code, ERR_INVALID);
		flip(&dir, "file", at);
	}
	CHECK(ftruncate(file, (off_t)RAM_BYTES - 1) == 0);
	auto_close int to = memory(RAM_BYTES);
	CHECK_INT(saved_ram_read(file, to, RAM_BYTES, sums, NULL, &err), -1);
	CHECK_STR(err.text, "it is cut short");
}

static void a_copy_can_be_given_up(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_close int from = memory(RAM_BYTES);
	atomic_bool cancel = true;
	uint64_t sums[8];
	struct err err = ERR_INIT;

	put(from, 0, "x", 1);
	temp_dir_put(&dir, "file", "", 0);
	auto_close int file = openat(dir.fd, "file", O_RDWR | O_CLOEXEC);
	CHECK_INT(saved_ram_write(from, file, RAM_BYTES, sums, &cancel, &err), -1);
	CHECK_INT(err.code, ERR_CANCELLED);
}

/* -- the whole -- */

static void what_was_saved_comes_back(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;
	auto_manifest struct saved_manifest manifest = {.machine = NULL};
	uint64_t bytes = 0;
	char text[8] = "";

	rig_init(&rig);
	CHECK(!saved_is_there(rig.dir.fd, &bytes));
	CHECK_INT(save(&rig, &err), 0);
	CHECK(saved_is_there(rig.dir.fd, &bytes));
	CHECK(bytes > 0 && bytes < 256 << 10);
	CHECK_INT(saved_state_open(rig.dir.fd, &identity, &manifest, &err), 0);
	CHECK_INT(saved_state_fits(rig.dir.fd, &manifest, MACHINE, "fast", &err), 0);
	CHECK_STR((const char *)manifest.boot_nonce, "nonce");
	CHECK_INT(manifest.accel, VM_ACCEL_KVM);
	auto_close int ram = memory(RAM_BYTES);
	auto_close int state = memory(0);
	const struct saved_memory into = {
	    .ram = ram, .state = state, .share = -1, .ram_bytes = RAM_BYTES};
	CHECK_INT(saved_state_read(rig.dir.fd, &manifest, &into, NULL, &err), 0);
	CHECK(same(ram, rig.memory.ram, RAM_BYTES));
	CHECK_INT(pread(state, text, sizeof(text) - 1, 0), 7);
	CHECK_STR(text, "devices");
	auto_close int held = saved_state_hold(rig.dir.fd);
	CHECK_INT(saved_remove(rig.dir.fd, &err), 0);
	CHECK(!saved_is_there(rig.dir.fd, &bytes));
	CHECK_INT(bytes, 0);
	CHECK(same(held, rig.memory.ram, RAM_BYTES)); /* it lives on for who holds it */
	CHECK_INT(saved_state_hold(rig.dir.fd), -1);
}

static void a_manifest_with_any_bit_changed_or_cut_is_refused(void)
{
	static const char refused[] = "saved/manifest: it is damaged, or was not written here";
	struct err err = ERR_INIT;
	auto_rig struct rig rig;
	struct stat st;

	rig_init(&rig);
	CHECK_INT(save(&rig, &err), 0);
	CHECK(fstatat(rig.dir.fd, "saved/manifest", &st, 0) == 0 && st.st_size > 200);
	for (off_t at = 0; at < st.st_size; at++) {
		flip(&rig.dir, "saved/manifest", at);
		CHECK_USE(&rig, &identity, MACHINE, "fast", refused);
		flip(&rig.dir, "saved/manifest", at);
	}
	CHECK_USE(&rig, &identity, MACHINE, "fast", "");
	auto_close int fd = openat(rig.dir.fd, "saved/manifest", O_RDWR | O_CLOEXEC);
	for (off_t size = st.st_size - 1; size >= 0; size -= 7) {
		CHECK(ftruncate(fd, size) == 0);
		CHECK_USE(&rig, &identity, MACHINE, "fast",
			  size < SAVED_MAC_SIZE ? "saved/manifest: it is cut short" : refused);
	}
}

static void one_of_another_vm_or_another_key_is_refused(void)
{
	static const char refused[] = "saved/manifest: it is damaged, or was not written here";
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig);
	CHECK_INT(save(&rig, &err), 0);
	CHECK_USE(&rig, &another, MACHINE, "fast", refused);
	flip(&rig.dir, "devbox/vm/key", 31);
	CHECK_USE(&rig, &identity, MACHINE, "fast", refused);
	flip(&rig.dir, "devbox/vm/key", 31);
	CHECK_USE(&rig, &identity, MACHINE, "fast", "");
}

/* Such an error must not be one of the state's, which would be thrown away for it. */
static void a_host_that_cannot_tell_says_nothing_of_the_state(void)
{
	auto_manifest struct saved_manifest manifest = {.machine = NULL};
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig);
	CHECK_INT(save(&rig, &err), 0);
	CHECK(renameat(rig.dir.fd, "devbox/vm/key", rig.dir.fd, "key") == 0);
	temp_dir_put(&rig.dir, "devbox/vm/key", "short", 5);
	CHECK_INT(saved_state_open(rig.dir.fd, &identity, &manifest, &err), -1);
	CHECK_INT(err.code, ERR_SYSTEM);
	CHECK(strstr(err.text, "the key for saved states: ") != NULL);
	CHECK(renameat(rig.dir.fd, "key", rig.dir.fd, "devbox/vm/key") == 0);
	CHECK_INT(saved_state_open(rig.dir.fd, &identity, &manifest, &err), 0);
	CHECK_INT(saved_state_fits(rig.dir.fd, &manifest, MACHINE, "", &err), -1);
	CHECK_INT(err.code, ERR_SYSTEM);
	CHECK(unlinkat(rig.dir.fd, "saved/ram", 0) == 0);
	CHECK_INT(saved_state_read(rig.dir.fd, &manifest, &rig.memory, NULL, &err), -1);
	CHECK_INT(err.code, ERR_INVALID);
}

static void what_is_different_is_named(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig);
	CHECK_INT(save(&rig, &err), 0);
	CHECK_USE(&rig, &identity, "qemu\n-m\n1G\n-smp\n2\n", "fast",
		  "the settings are different: now \"1G\", then \"512M\"");
	CHECK_USE(&rig, &identity, "qemu\n-m\n512M\n", "fast",
		  "the settings are different: now \"\", then \"-smp\"");
	CHECK_USE(&rig, &identity, MACHINE, "slow", "this host's processor is another one");
}

static void a_disk_that_is_newer_is_never_used_with_older_memory(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig);
	CHECK_INT(save(&rig, &err), 0);
	temp_dir_put_text(&rig.dir, "disk.img", "newer");
	CHECK_USE(&rig, &identity, MACHINE, "fast", "disk.img was changed since");
	CHECK_INT(save(&rig, &err), 0);
	CHECK_USE(&rig, &identity, MACHINE, "fast", "");
	temp_dir_put_text(&rig.dir, "generation", "another 16 bytes");
	CHECK_USE(&rig, &identity, MACHINE, "fast", "the VM has run since it was suspended");
	CHECK(unlinkat(rig.dir.fd, "generation", 0) == 0);
	auto_free char *why = use(&rig, &identity, MACHINE, "fast");
	CHECK(strstr(why, "generation") != NULL);
}

static void another_kernel_is_no_place_to_go_on(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig);
	CHECK(mkdirat(rig.dir.fd, "boot", 0700) == 0);
	temp_dir_put_text(&rig.dir, "boot/kernel", "kernel");
	CHECK_INT(save(&rig, &err), 0);
	CHECK_USE(&rig, &identity, MACHINE, "fast", "");
	CHECK(unlinkat(rig.dir.fd, "boot/kernel", 0) == 0);
	temp_dir_put_text(&rig.dir, "boot/kernel", "kernel");
	CHECK_USE(&rig, &identity, MACHINE, "fast", "what is booted was changed since");
}

static void links_in_the_directory_are_not_followed(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig);
	CHECK_INT(save(&rig, &err), 0);
	CHECK(renameat(rig.dir.fd, "saved", rig.dir.fd, "elsewhere") == 0);
	CHECK(symlinkat("elsewhere", rig.dir.fd, "saved") == 0);
	CHECK(!saved_is_there(rig.dir.fd, NULL));
	CHECK_INT(save(&rig, &err), -1);
}

/* The next save is whole, and nothing else is there. */
static void check_next_save(struct rig *rig)
{
	struct err err = ERR_INIT;
	size_t files = 0;

	fault_at = 0;
	CHECK_INT(save(rig, &err), 0);
	CHECK_USE(rig, &identity, MACHINE, "fast", "");
	auto_close int saved = openat(rig->dir.fd, "saved", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fdopendir(dup(saved));
	for (const struct dirent *entry; (entry = readdir(dir));)
		files += entry->d_name[0] != '.';
	(void)closedir(dir);
	CHECK_INT(files, 3); /* manifest, ram, devices: no share in this one */
	CHECK_INT(saved_remove(rig->dir.fd, &err), 0);
}

static void a_disk_that_fails_at_any_operation_of_a_save_leaves_nothing(void)
{
	auto_rig struct rig rig;
	struct err err = ERR_INIT;
	uint64_t bytes = 1;
	int count;

	rig_init(&rig);
	check_next_save(&rig); /* the first one makes the user's key as well */
	faults_seen = 0;
	CHECK_INT(save(&rig, &err), 0);
	count = faults_seen;
	CHECK(count > 10);
	CHECK_INT(saved_remove(rig.dir.fd, &err), 0);
	for (int i = 1; i <= count; i++) {
		faults_seen = 0;
		fault_at = i;
		CHECK_INT(save(&rig, &err), -1);
		CHECK(strstr(err.text, "Input/output error") != NULL);
		CHECK(!saved_is_there(rig.dir.fd, &bytes));
		CHECK_INT(bytes, 0);
		check_next_save(&rig);
	}
}

static void who_dies_at_any_operation_of_a_save_leaves_all_of_it_or_none(void)
{
	auto_rig struct rig rig;
	struct err err = ERR_INIT;
	int whole = 0;
	int count;

	rig_init(&rig);
	check_next_save(&rig); /* the first one makes the user's key as well */
	faults_seen = 0;
	CHECK_INT(save(&rig, &err), 0);
	count = faults_seen;
	CHECK_INT(saved_remove(rig.dir.fd, &err), 0);
	for (int i = 1; i <= count; i++) {
		pid_t child = fork();

		if (child == 0) {
			faults_seen = 0;
			fault_at = i;
			fault_kills = true;
			(void)save(&rig, &err);
			_exit(1); /* it should have died */
		}
		int status = -1;
		CHECK(waitpid(child, &status, 0) == child && status == 0);
		if (saved_is_there(rig.dir.fd, NULL)) {
			whole++;
			CHECK_USE(&rig, &identity, MACHINE, "fast", "");
		}
		check_next_save(&rig);
	}
	CHECK_INT(whole, 1); /* died in the sync of the directory, behind the rename */
}

TEST_MAIN(TEST(memory_comes_back_and_what_is_zero_takes_no_room),
	  TEST(a_flipped_bit_and_a_short_file_are_noticed), TEST(a_copy_can_be_given_up),
	  TEST(what_was_saved_comes_back), TEST(a_manifest_with_any_bit_changed_or_cut_is_refused),
	  TEST(one_of_another_vm_or_another_key_is_refused),
	  TEST(a_host_that_cannot_tell_says_nothing_of_the_state), TEST(what_is_different_is_named),
	  TEST(a_disk_that_is_newer_is_never_used_with_older_memory),
	  TEST(another_kernel_is_no_place_to_go_on), TEST(links_in_the_directory_are_not_followed),
	  TEST(a_disk_that_fails_at_any_operation_of_a_save_leaves_nothing),
	  TEST(who_dies_at_any_operation_of_a_save_leaves_all_of_it_or_none))
