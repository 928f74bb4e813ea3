#include "supervisor/saved_manifest.h"

#include "base/mem.h"
#include "supervisor/saved_key.h"
#include "supervisor/saved_ram.h"
#include "wire/msg.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MAGIC	 0x6478766d73617632ULL /* "dxvmsav2": another layout has another number */
#define NS_PER_S 1000000000u

static int write_bytes(struct buf *buf, const uint8_t bytes[16])
{
	return buf_append(buf, bytes, 16);
}

static int write_file_id(struct buf *buf, const struct saved_file_id *id)
{
	return msg_write_u64(buf, id->file.device) < 0 || msg_write_u64(buf, id->file.inode) < 0 ||
		       msg_write_u64(buf, id->file.born_ns) < 0 ||
		       msg_write_u64(buf, id->size) < 0 || msg_write_u64(buf, id->mtime_ns) < 0
		   ? -1
		   : 0;
}

static int write_blob(struct buf *buf, const struct saved_blob *blob)
{
	if (msg_write_u64(buf, blob->bytes) < 0)
		return -1;
	for (size_t i = 0; i < saved_pieces(blob->bytes); i++)
		if (msg_write_u64(buf, blob->sums[i]) < 0)
			return -1;
	return 0;
}

static void read_file_id(struct msg_reader *reader, struct saved_file_id *ret_id)
{
	ret_id->file.device = msg_read_u64(reader);
	ret_id->file.inode = msg_read_u64(reader);
	ret_id->file.born_ns = msg_read_u64(reader);
	ret_id->size = msg_read_u64(reader);
	ret_id->mtime_ns = msg_read_u64(reader);
}

static void read_blob(struct msg_reader *reader, uint64_t max, struct saved_blob *ret_blob)
{
	uint64_t bytes = msg_read_u64(reader);
	size_t count = saved_pieces(bytes);

	if (!msg_ok(reader) || bytes > max || count > reader->left / sizeof(uint64_t)) {
		reader->bad = true;
		return;
	}
	ret_blob->bytes = bytes;
	ret_blob->sums = xcalloc(count + 1, sizeof(*ret_blob->sums));
	for (size_t i = 0; i < count; i++)
		ret_blob->sums[i] = msg_read_u64(reader);
}

int saved_manifest_seal(const struct saved_manifest *manifest, const char *id, char **ret_bytes,
			size_t *ret_length, struct err *err)
{
	uint8_t mac[SAVED_MAC_SIZE];
	auto_buf struct buf buf;

	buf_init(&buf, SAVED_MANIFEST_MAX);
	if (msg_write_u64(&buf, MAGIC) < 0 || msg_write_u8(&buf, (uint8_t)manifest->accel) < 0 ||
	    msg_write_string(&buf, manifest->machine) < 0 ||
	    msg_write_string(&buf, manifest->processor) < 0 ||
	    write_bytes(&buf, manifest->boot_nonce) < 0 ||
	    write_bytes(&buf, manifest->generation) < 0 ||
	    write_file_id(&buf, &manifest->disk) < 0 ||
	    write_file_id(&buf, &manifest->kernel) < 0 ||
	    write_file_id(&buf, &manifest->initrd) < 0 || write_blob(&buf, &manifest->ram) < 0 ||
	    write_blob(&buf, &manifest->state) < 0 || write_blob(&buf, &manifest->share) < 0)
		return err_set(err, ERR_INVALID, "there is too much to say of the saved state");
	if (saved_key_sign(id, buf_data(&buf), buf_length(&buf), mac, err) < 0)
		return -1;
	if (buf_append(&buf, mac, sizeof(mac)) < 0)
		return err_set(err, ERR_INVALID, "there is too much to say of the saved state");
	*ret_length = buf_length(&buf);
	*ret_bytes = xmemdup(buf_data(&buf), buf_length(&buf));
	return 0;
}

int saved_manifest_open(const void *bytes, size_t length, const char *id,
			struct saved_manifest *ret_manifest, struct err *err)
{
	struct saved_manifest manifest = {.machine = NULL};
	struct msg_reader reader;
	uint64_t magic;

	if (length < SAVED_MAC_SIZE)
		return err_set(err, ERR_INVALID, "it is cut short");
	length -= SAVED_MAC_SIZE;
	if (saved_key_check(id, bytes, length, (const uint8_t *)bytes + length, err) < 0)
		return -1;
	msg_read_from(&reader, bytes, length);
	magic = msg_read_u64(&reader);
	if (magic != MAGIC)
		return err_set(err, ERR_INVALID, "another version of dxvm wrote it");
	manifest.accel = msg_read_u8(&reader) == VM_ACCEL_KVM ? VM_ACCEL_KVM : VM_ACCEL_TCG;
	manifest.machine = msg_read_string(&reader, SAVED_TEXT_MAX);
	manifest.processor = msg_read_string(&reader, SAVED_TEXT_MAX);
	msg_read_bytes(&reader, manifest.boot_nonce, sizeof(manifest.boot_nonce));
	msg_read_bytes(&reader, manifest.generation, sizeof(manifest.generation));
	read_file_id(&reader, &manifest.disk);
	read_file_id(&reader, &manifest.kernel);
	read_file_id(&reader, &manifest.initrd);
	read_blob(&reader, SAVED_MEMORY_MAX, &manifest.ram);
	read_blob(&reader, SAVED_BLOB_MAX, &manifest.state);
	read_blob(&reader, SAVED_BLOB_MAX, &manifest.share);
	if (!msg_ok(&reader)) {
		saved_manifest_done(&manifest);
		return err_set(err, ERR_INVALID, "a field is cut off or out of bounds");
	}
	*ret_manifest = manifest;
	return 0;
}

void saved_manifest_done(struct saved_manifest *manifest)
{
	free(manifest->machine);
	free(manifest->processor);
	free(manifest->ram.sums);
	free(manifest->state.sums);
	free(manifest->share.sums);
	*manifest = (struct saved_manifest){.machine = NULL};
}

void saved_file_identify(int dir, const char *name, struct saved_file_id *ret_id)
{
	struct file_id file;
	struct stat st;

	*ret_id = (struct saved_file_id){.size = 0};
	if (file_id_get(dir, name, &file) < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	*ret_id = (struct saved_file_id){
	    .file = file,
	    .size = (uint64_t)st.st_size,
	    .mtime_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec,
	};
}

bool saved_file_same(const struct saved_file_id *a, const struct saved_file_id *b)
{
	return file_id_equal(&a->file, &b->file) && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns;
}
