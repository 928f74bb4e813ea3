/* What was saved, damaged, exchanged or put back: it is refused, by name. */
#include "base/mem.h"
#include "unit/saved_rig.h"
#include "unit/test.h"

#include <errno.h>

#define PLACES 50

/* Opens, compares and reads; why not, or "". The caller's. */
static char *bring_back(struct rig *rig)
{
	auto_manifest struct saved_manifest manifest = {.machine = NULL};
	auto_close int ram = memory(RAM_BYTES);
	auto_close int state = memory(0);
	auto_close int share = memory(0);
	const struct saved_memory into = {
	    .ram = ram, .state = state, .share = share, .ram_bytes = RAM_BYTES};
	struct err err = ERR_INIT;

	if (saved_state_open(rig->dir.fd, &identity, &manifest, &err) < 0 ||
	    saved_state_fits(rig->dir.fd, &manifest, MACHINE, "fast", &err) < 0 ||
	    saved_state_read(rig->dir.fd, &manifest, &into, NULL, &err) < 0)
		return xstrdup(err.text);
	return xstrdup(same(ram, rig->memory.ram, RAM_BYTES) ? "" : "it came back different");
}

#define CHECK_REFUSED(rig, why)                                                                    \
	do {                                                                                       \
		auto_free char *said_ = bring_back(rig);                                           \
		CHECK(strncmp(said_, why, strlen(why)) == 0 && *said_);                            \
	} while (0)

/* Memory without a page that is zero, so that every byte of the files is somebody's. */
static void rig_init_full(struct rig *rig, uint64_t seed)
{
	uint64_t words[512];

	rig_init(rig);
	rig->memory.share = memory(0);
	for (off_t at = 0; at < (off_t)RAM_BYTES; at += (off_t)sizeof(words)) {
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			words[i] = seed = seed * 6364136223846793005u + 1442695040888963407u;
		put(rig->memory.ram, at, words, sizeof(words));
		if (at < 400000)
			put(rig->memory.state, at, words, sizeof(words));
		if (at < 9000)
			put(rig->memory.share, at, words, sizeof(words));
	}
}

static void full_done(struct rig *rig)
{
	cleanup_close(&rig->memory.share);
	rig_done(rig);
}
#define auto_full CLEANUP(full_done)

static const char *const saved_names[] = {"saved/ram", "saved/devices", "saved/share"};

static void every_file_flipped_or_cut_anywhere_is_refused_by_name(void)
{
	struct err err = ERR_INIT;
	auto_full struct rig rig;

	rig_init_full(&rig, 1);
	CHECK_INT(save(&rig, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(saved_names); i++) {
		struct stat st;
		auto_free char *damaged = xasprintf("%s: it is damaged at byte", saved_names[i]);
		auto_free char *cut = xasprintf("%s: it is cut short", saved_names[i]);
		auto_close int fd = openat(rig.dir.fd, saved_names[i], O_RDWR | O_CLOEXEC);

		CHECK(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > PLACES);
		for (off_t k = 0; k < PLACES; k++) {
			off_t at = st.st_size / PLACES * k + k * 7919 % (st.st_size / PLACES);

			flip(&rig.dir, saved_names[i], at);
			CHECK_REFUSED(&rig, damaged);
			flip(&rig.dir, saved_names[i], at);
		}
		auto_free char *said = bring_back(&rig);
		CHECK_STR(said, "");
		/* From the end to the beginning. */
		for (off_t k = 0; k < PLACES; k++) {
			CHECK(ftruncate(fd, st.st_size / PLACES * (PLACES - k) - 1) == 0);
			CHECK_REFUSED(&rig, cut);
		}
		CHECK_INT(save(&rig, &err), 0);
	}
}

static void files_of_another_vm_are_refused(void)
{
	struct err err = ERR_INIT;
	auto_full struct rig rig;
	auto_full struct rig other;
	char from[128];
	char to[128];

	rig_init_full(&rig, 1);
	rig_init_full(&other, 2);
	for (size_t i = 0; i < ARRAY_SIZE(saved_names); i++) {
		/* The last that was made has set where the key lies: one key for both. */
		CHECK_INT(save(&rig, &err), 0);
		CHECK_INT(save(&other, &err), 0);
		(void)snprintf(from, sizeof(from), "%s/%s", other.dir.path, saved_names[i]);
		(void)snprintf(to, sizeof(to), "%s/%s", rig.dir.path, saved_names[i]);
		CHECK(rename(from, to) == 0);
		auto_free char *damaged = xasprintf("%s: it is damaged at byte", saved_names[i]);
		CHECK_REFUSED(&rig, damaged);
	}
	/* With its manifest, too, and even for the same id: it belongs to another disk. */
	CHECK_INT(save(&other, &err), 0);
	(void)snprintf(from, sizeof(from), "%s/saved", other.dir.path);
	(void)snprintf(to, sizeof(to), "%s/elsewhere", rig.dir.path);
	CHECK(renameat(rig.dir.fd, "saved", rig.dir.fd, "old") == 0);
	CHECK(rename(from, to) == 0 && renameat(rig.dir.fd, "elsewhere", rig.dir.fd, "saved") == 0);
	CHECK_REFUSED(&rig, "the VM has run since it was suspended");
}

static void an_older_state_is_refused_beside_a_newer_one_and_beside_none(void)
{
	struct err err = ERR_INIT;
	auto_full struct rig rig;

	rig_init_full(&rig, 1);
	CHECK_INT(save(&rig, &err), 0);
	CHECK(renameat(rig.dir.fd, "saved", rig.dir.fd, "backup") == 0);
	CHECK_INT(saved_state_void(rig.dir.fd, &err), 0); /* it went on */
	put(rig.memory.ram, 5 << 20, "newer", 5);
	CHECK_INT(save(&rig, &err), 0);
	CHECK(renameat(rig.dir.fd, "saved", rig.dir.fd, "newer") == 0);
	CHECK(renameat(rig.dir.fd, "backup", rig.dir.fd, "saved") == 0);
	CHECK_REFUSED(&rig, "the VM has run since it was suspended");
	/* Its memory under the newer manifest. */
	CHECK(renameat(rig.dir.fd, "newer/manifest", rig.dir.fd, "saved/manifest") == 0);
	CHECK_REFUSED(&rig, "saved/ram: it is damaged at byte 5242880");
	CHECK(renameat(rig.dir.fd, "newer/ram", rig.dir.fd, "saved/ram") == 0);
	auto_free char *said = bring_back(&rig);
	CHECK_STR(said, "");
}

/* Machine type, processor, memory, each device: every word that QEMU is told. */
static void each_item_of_the_machine_is_compared_and_named(void)
{
	const struct vm_spec spec = {
	    .id = identity.hex,
	    .memory = (uint64_t)512 << 20,
	    .cpus = 2,
	    .cmdline = "quiet",
	    .disk_fd = 0,
	    .network = true,
	};
	struct err err = ERR_INIT;
	auto_rig struct rig rig;
	auto_buf struct buf text;
	size_t lines = 0;

	rig_init(&rig);
	buf_init(&text, 65536);
	CHECK_INT(vm_qemu.describe(&spec, &text, &err), 0);
	auto_free char *machine = buf_take_string(&text);
	CHECK(strstr(machine, "pc-q35-7.2") && strstr(machine, "\nmax,-erms\n") &&
	      strstr(machine, "size=512M") && strstr(machine, "virtio-net-pci"));
	auto_manifest struct saved_manifest manifest = {.machine = xstrdup(machine),
							.processor = xstrdup("")};
	CHECK_INT(saved_state_write(rig.dir.fd, &identity, &rig.memory, &manifest, NULL, &err), 0);
	CHECK_USE(&rig, &identity, machine, "", "");
	for (const char *line = machine; *line; line += strcspn(line, "\n") + 1, lines++) {
		int before = (int)(line - machine);
		int length = (int)strcspn(line, "\n");
		auto_free char *other =
		    xasprintf("%.*s%.*s-other%s", before, machine, length, line, line + length);
		auto_free char *said = use(&rig, &identity, other, "");
		auto_free char *expected =
		    xasprintf("the settings are different: now \"%.*s-other\", then \"%.*s\"",
			      length, line, length, line);

		CHECK_STR(said, expected);
	}
	CHECK(lines > 30);
}

static void voiding_needs_no_room(void)
{
	struct err err = ERR_INIT;
	auto_rig struct rig rig;

	rig_init(&rig);
	CHECK_INT(save(&rig, &err), 0);
	CHECK(renameat(rig.dir.fd, "saved", rig.dir.fd, "backup") == 0);
	/* As on a full disk: no new file can be made. */
	CHECK(mkdirat(rig.dir.fd, "generation.part", 0700) == 0);
	CHECK_INT(saved_state_void(rig.dir.fd, &err), 0);
	CHECK(renameat(rig.dir.fd, "backup", rig.dir.fd, "saved") == 0);
	auto_free char *said = use(&rig, &identity, MACHINE, "fast");
	CHECK(strstr(said, "generation") != NULL);
	/* When there is room again the next one is as good as any. */
	CHECK(unlinkat(rig.dir.fd, "generation.part", AT_REMOVEDIR) == 0);
	CHECK_INT(save(&rig, &err), 0);
	CHECK_USE(&rig, &identity, MACHINE, "fast", "");
}

TEST_MAIN(TEST(every_file_flipped_or_cut_anywhere_is_refused_by_name),
	  TEST(files_of_another_vm_are_refused),
	  TEST(an_older_state_is_refused_beside_a_newer_one_and_beside_none),
	  TEST(each_item_of_the_machine_is_compared_and_named), TEST(voiding_needs_no_room))
