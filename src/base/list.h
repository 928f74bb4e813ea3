#pragma once
/*
 * An intrusive, circular, doubly linked list. A `struct list` is both the head and the link that
 * sits in each element; the list owns nothing. A link that is in no list points at itself, so
 * list_remove is always safe after list_init.
 */
#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l;
	l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_insert_after(struct list *at, struct list *link)
{
	link->prev = at;
	link->next = at->next;
	at->next->prev = link;
	at->next = link;
}

static inline void list_append(struct list *head, struct list *link)
{
	list_insert_after(head->prev, link);
}

static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* The element that holds this link. */
#define list_entry(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Walks the links; the body may remove the current one. */
#define list_each(link, tmp, head)                                                                 \
	for (struct list *link = (head)->next, *tmp = link->next; link != (head);                  \
	     link = tmp, tmp = tmp->next)
