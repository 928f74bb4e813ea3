#include "share/node.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 1024

void node_table_init(struct node_table *table, size_t max)
{
	*table = (struct node_table){
	    .by_id = xcalloc(FIRST_BUCKETS, sizeof(struct node *)),
	    .by_key = xcalloc(FIRST_BUCKETS, sizeof(struct node *)),
	    .by_place = xcalloc(FIRST_BUCKETS, sizeof(struct node *)),
	    .buckets = FIRST_BUCKETS,
	    .max = max,
	    .next_id = NODE_FIRST,
	};
}

static void free_node(struct node *node)
{
	free(node->name);
	free(node);
}

void node_table_done(struct node_table *table)
{
	for (size_t i = 0; table->by_id && i < table->buckets; i++) {
		for (struct node *node = table->by_id[i]; node;) {
			struct node *next = node->next_by_id;

			free_node(node);
			node = next;
		}
	}
	free(table->by_id);
	free(table->by_key);
	free(table->by_place);
	*table = (struct node_table){.max = table->max};
}

/* Mixes all bits into the low ones (the finalizer of splitmix64). Inode numbers are chosen by the
 * host's file system, not by the guest, so no secret is needed. */
static size_t slot(const struct node_table *table, uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return (size_t)(x ^ (x >> 31)) & (table->buckets - 1);
}

static size_t key_slot(const struct node_table *table, const struct node_key *key)
{
	return slot(table, key->ino ^ (key->dev << 40));
}

struct node_key node_key_of(const struct os_stat *stat)
{
	return (struct node_key){
	    .dev = stat->dev,
	    .ino = stat->ino,
	    .btime_sec = stat->btime.tv_sec,
	    .btime_nsec = (uint32_t)stat->btime.tv_nsec,
	    .type = stat->mode & S_IFMT,
	};
}

bool node_key_equal(const struct node_key *a, const struct node_key *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->btime_sec == b->btime_sec &&
	       a->btime_nsec == b->btime_nsec && a->type == b->type;
}

struct node *node_by_id(const struct node_table *table, uint64_t id)
{
	struct node *node = table->by_id[slot(table, id)];

	while (node && node->id != id)
		node = node->next_by_id;
	return node;
}

struct node *node_by_key(const struct node_table *table, const struct node_key *key)
{
	struct node *node = table->by_key[key_slot(table, key)];

	while (node &&
	       (!node_key_equal(&node->key, key) || (node->place == NODE_GONE && !node->fd_pinned)))
		node = node->next_by_key;
	return node;
}

bool node_is_held(const struct node_table *table, const struct node_key *key)
{
	const struct node *node = table->by_key[key_slot(table, key)];

	while (node && !(node_key_equal(&node->key, key) && node->lookups > 0))
		node = node->next_by_key;
	return node != NULL;
}

static size_t place_slot(const struct node_table *table, const struct node *parent,
			 const char *name)
{
	uint64_t sum = parent->id;

	for (; *name; name++)
		sum = (sum ^ (uint8_t)*name) * 0x100000001b3ULL; /* FNV-1a */
	return slot(table, sum);
}

struct node *node_by_place(const struct node_table *table, const struct node *parent,
			   const char *name)
{
	struct node *node = table->by_place[place_slot(table, parent, name)];

	while (node && (node->parent != parent || strcmp(node->name, name) != 0))
		node = node->next_by_place;
	return node;
}

static void hash_place(struct node_table *table, struct node *node)
{
	struct node **link;

	if (!node->parent)
		return;
	link = &table->by_place[place_slot(table, node->parent, node->name)];
	node->next_by_place = *link;
	*link = node;
}

static void unhash_place(struct node_table *table, struct node *node)
{
	struct node **link;

	if (!node->parent)
		return;
	link = &table->by_place[place_slot(table, node->parent, node->name)];
	while (*link != node)
		link = &(*link)->next_by_place;
	*link = node->next_by_place;
}

static void hash(struct node_table *table, struct node *node)
{
	struct node **id = &table->by_id[slot(table, node->id)];
	struct node **key = &table->by_key[key_slot(table, &node->key)];

	node->next_by_id = *id;
	*id = node;
	node->next_by_key = *key;
	*key = node;
	hash_place(table, node);
}

static void unhash_key(struct node_table *table, struct node *node)
{
	struct node **link = &table->by_key[key_slot(table, &node->key)];

	while (*link != node)
		link = &(*link)->next_by_key;
	*link = node->next_by_key;
}

static void unhash_id(struct node_table *table, struct node *node)
{
	struct node **link = &table->by_id[slot(table, node->id)];

	while (*link != node)
		link = &(*link)->next_by_id;
	*link = node->next_by_id;
}

static void grow(struct node_table *table)
{
	struct node **old = table->by_id;
	size_t old_buckets = table->buckets;

	free(table->by_key);
	free(table->by_place);
	table->buckets *= 2;
	table->by_id = xcalloc(table->buckets, sizeof(struct node *));
	table->by_key = xcalloc(table->buckets, sizeof(struct node *));
	table->by_place = xcalloc(table->buckets, sizeof(struct node *));
	for (size_t i = 0; i < old_buckets; i++) {
		for (struct node *node = old[i]; node;) {
			struct node *next = node->next_by_id;

			hash(table, node);
			node = next;
		}
	}
	free(old);
}

struct node *node_add(struct node_table *table, uint64_t id, const struct node_key *key)
{
	struct node *node;

	if (table->count >= table->max)
		return NULL;
	if (table->count >= table->buckets)
		grow(table);
	node = xcalloc(1, sizeof(*node));
	node->id = id ? id : table->next_id++;
	node->key = *key;
	node->place = NODE_GONE;
	node->fd = -1;
	node->watch = -1;
	list_init(&node->open);
	list_init(&node->changed);
	hash(table, node);
	table->count++;
	return node;
}

static void changed(struct node_table *table, struct node *node)
{
	if (table->on_change)
		table->on_change(table->context, node);
}

void node_count_lookup(struct node_table *table, struct node *node)
{
	node->lookups++;
	changed(table, node);
}

void node_forget_lookups(struct node_table *table, struct node *node, uint64_t count)
{
	node->lookups = count < node->lookups ? node->lookups - count : 0;
	changed(table, node);
	node_release(table, node);
}

bool node_is_below(const struct node *node, const struct node *ancestor)
{
	while (node && node != ancestor)
		node = node->parent;
	return node != NULL;
}

bool node_move(struct node_table *table, struct node *node, struct node *parent, const char *name)
{
	struct node *old = node->parent;

	if (node->place == NODE_IN_TREE && node->parent == parent && strcmp(node->name, name) == 0)
		return true;
	if (node_is_below(parent, node))
		return false;
	unhash_place(table, node);
	parent->children++;
	if (old)
		old->children--;
	node->parent = parent;
	node->place = NODE_IN_TREE;
	if (!node->name || strcmp(node->name, name) != 0) {
		free(node->name);
		node->name = xstrdup(name);
	}
	hash_place(table, node);
	changed(table, node);
	node_release(table, old);
	return true;
}

void node_leave(struct node_table *table, struct node *node, enum node_place place)
{
	struct node *old = node->parent;

	unhash_place(table, node);
	if (old)
		old->children--;
	node->parent = NULL;
	node->place = place;
	free(node->name);
	node->name = NULL;
	changed(table, node);
	node_release(table, old);
}

void node_set_key(struct node_table *table, struct node *node, const struct node_key *key)
{
	struct node **link;

	unhash_key(table, node);
	node->key = *key;
	link = &table->by_key[key_slot(table, key)];
	node->next_by_key = *link;
	*link = node;
	changed(table, node);
}

static bool is_unneeded(const struct node *node)
{
	return node->id >= NODE_FIRST && node->lookups == 0 && node->children == 0;
}

void node_release(struct node_table *table, struct node *node)
{
	while (node && !table->holding && is_unneeded(node)) {
		struct node *parent = node->parent;

		if (table->on_free)
			table->on_free(table->context, node);
		unhash_place(table, node);
		if (parent)
			parent->children--;
		unhash_id(table, node);
		unhash_key(table, node);
		table->count--;
		free_node(node);
		node = parent;
	}
}

/* Releasing a node may release its parents, wherever they are: then the row is begun again. */
void node_table_sweep(struct node_table *table)
{
	table->holding = false;
	for (size_t i = 0; i < table->buckets; i++) {
		struct node *node = table->by_id[i];

		while (node) {
			if (is_unneeded(node)) {
				node_release(table, node);
				node = table->by_id[i];
			} else {
				node = node->next_by_id;
			}
		}
	}
}
