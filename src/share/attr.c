/*
 * From the host's attributes to what the guest sees: one pair of ids is mapped and everybody else
 * is nobody, setuid and setgid bits are not shown, the inode number is the host's own (git compares
 * it with its index), but for other file systems below the root: the guest sees one device, in which
 * two objects of one number would be one object to find, tar and rsync.
 */
#include "share/internal.h"

#include <time.h>

#define SECOND_NS 1000000000LL
#define TICK_NS	  20000000LL /* the longest tick is 10 ms; the clock may be read late in it */
#define COARSE_S  2	     /* of a file system that keeps no more than seconds, or two of them */

static uint32_t uid_of(const struct share *share, uint32_t uid)
{
	return uid == share->config.host_uid ? share->config.guest_uid : NOBODY;
}

static uint32_t gid_of(const struct share *share, uint32_t gid)
{
	return gid == share->config.host_gid ? share->config.guest_gid : NOBODY;
}

/* Linux's layout of a device number in FUSE: 12 bits of major, 20 of minor. Devices are only shown,
 * never made or opened, so a host with another layout may show what it likes. */
static uint32_t rdev_of(uint64_t rdev)
{
	uint32_t major = (uint32_t)(rdev >> 8) & 0xfff;
	uint32_t minor = (uint32_t)(rdev & 0xff) | ((uint32_t)(rdev >> 12) & 0xfff00);

	return (minor & 0xff) | (major << 8) | ((minor & ~0xffu) << 12);
}

uint64_t attr_ino(const struct share *share, uint64_t dev, uint64_t ino)
{
	if (dev == share->root->key.dev)
		return ino;
	/* Of 15 bits, never none; real numbers rarely have so many. */
	return ino ^ (((dev * 0x9e3779b97f4a7c15ULL) >> 49 | 1) << 48);
}

void attr_fill(const struct share *share, const struct node *node, const struct os_stat *stat,
	       struct fuse_attr *ret_attr)
{
	(void)node;
	*ret_attr = (struct fuse_attr){
	    .ino = attr_ino(share, stat->dev, stat->ino),
	    .size = stat->size,
	    .blocks = stat->blocks,
	    .atime = (uint64_t)stat->atime.tv_sec,
	    .mtime = (uint64_t)stat->mtime.tv_sec,
	    .ctime = (uint64_t)stat->ctime.tv_sec,
	    .atimensec = (uint32_t)stat->atime.tv_nsec,
	    .mtimensec = (uint32_t)stat->mtime.tv_nsec,
	    .ctimensec = (uint32_t)stat->ctime.tv_nsec,
	    .mode = stat->mode & (S_IFMT | 01777),
	    .nlink = stat->nlink,
	    .uid = uid_of(share, stat->uid),
	    .gid = gid_of(share, stat->gid),
	    .rdev = rdev_of(stat->rdev),
	    .blksize = stat->blksize,
	};
}

void attr_fill_gone(const struct share *share, const struct node *node, struct fuse_attr *ret_attr)
{
	*ret_attr = (struct fuse_attr){
	    .ino = attr_ino(share, node->key.dev, node->key.ino),
	    .size = node->seen.size,
	    .blocks = (node->seen.size + 511) / 512,
	    .atime = (uint64_t)node->seen.mtime.tv_sec,
	    .mtime = (uint64_t)node->seen.mtime.tv_sec,
	    .ctime = (uint64_t)node->seen.ctime.tv_sec,
	    .atimensec = (uint32_t)node->seen.mtime.tv_nsec,
	    .mtimensec = (uint32_t)node->seen.mtime.tv_nsec,
	    .ctimensec = (uint32_t)node->seen.ctime.tv_nsec,
	    .mode = node->key.type | (node->seen.mode & 01777),
	    .uid = share->config.guest_uid,
	    .gid = share->config.guest_gid,
	    .blksize = 4096,
	};
}

void attr_fill_devbox(const struct share *share, struct fuse_attr *ret_attr)
{
	*ret_attr = (struct fuse_attr){
	    .ino = NODE_DEVBOX,
	    .mode = S_IFDIR | 0755,
	    .nlink = 2,
	    .uid = share->config.guest_uid,
	    .gid = share->config.guest_gid,
	    .blksize = 4096,
	};
}

/* By the time of day, of which the file's is a part. One ahead of it is young, too. */
static bool is_young(const struct os_stat *stat)
{
	struct timespec now;
	int64_t seconds;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	seconds = now.tv_sec - stat->ctime.tv_sec;
	if (seconds < 0 || seconds > COARSE_S)
		return seconds < 0;
	if (stat->ctime.tv_nsec == 0)
		return true;
	return seconds * SECOND_NS + now.tv_nsec - stat->ctime.tv_nsec < TICK_NS;
}

bool attr_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* A directory as the guest's own change left it, although asked for again: by another of its programs,
 * before the news of that change came. */
static bool is_own_still(const struct node *node, const struct os_stat *stat)
{
	const struct node_seen *seen = &node->seen;

	return S_ISDIR(stat->mode) && !seen->young && seen->size == stat->size &&
	       attr_same_time(&seen->mtime, &stat->mtime) &&
	       attr_same_time(&seen->ctime, &stat->ctime);
}

void attr_note_seen(struct node *node, const struct os_stat *stat)
{
	bool own = is_own_still(node, stat);

	node->seen = (struct node_seen){
	    .size = stat->size,
	    .mtime = stat->mtime,
	    .ctime = stat->ctime,
	    .mode = stat->mode & 07777,
	    .young = !own && is_young(stat),
	};
}

mode_t attr_host_mode(uint32_t mode)
{
	return (mode_t)(mode & 01777);
}
