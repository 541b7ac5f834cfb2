/* Code addresses: /proc/self/maps says which file, the file's symbol table which function. Files are read and not
 * mapped: one that is cut while it is looked at must not end the process. */
#include "symbol.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define MAX_AREAS 512
#define MAX_SECTIONS 512u
#define MAX_SEGMENTS 64u
#define MAX_SYMBOLS (1u << 20)
#define SYMBOLS_AT_ONCE 512u
#define NAME_BYTES 64

struct area {
	uintptr_t start, end;
	uint64_t offset;
	char *path;
};

struct code_map {
	struct area areas[MAX_AREAS];
	size_t n;
	char program[512];
};

static void add_area(struct code_map *map, char *line)
{
	unsigned long start, end, offset;
	char mode[8], path[512];

	/* address perms offset dev inode path */
	if (map->n == MAX_AREAS || sscanf(line, "%lx-%lx %7s %lx %*s %*s %511[^\n]", &start, &end, mode, &offset, path) != 5 ||
	    mode[2] != 'x' || path[0] != '/')
		return;
	map->areas[map->n] = (struct area){ .start = start, .end = end, .offset = offset, .path = strdup(path) };
	if (map->areas[map->n].path)
		map->n++;
}

struct code_map *code_map_open(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	struct code_map *map = f ? calloc(1, sizeof(*map)) : NULL;
	char line[1024];
	ssize_t n;

	while (map && fgets(line, sizeof(line), f))
		add_area(map, line);
	if (f)
		(void)fclose(f); /* it was only read */
	if (!map)
		return NULL;
	n = readlink("/proc/self/exe", map->program, sizeof(map->program) - 1);
	map->program[n < 0 ? 0 : n] = '\0';
	return map;
}

void code_map_close(struct code_map *map)
{
	if (!map)
		return;
	for (size_t i = 0; i < map->n; i++)
		free(map->areas[i].path);
	free(map);
}

static const struct area *find_area(const struct code_map *map, uintptr_t address)
{
	for (size_t i = 0; i < map->n; i++)
		if (address >= map->areas[i].start && address < map->areas[i].end)
			return &map->areas[i];
	return NULL;
}

bool code_map_has(const struct code_map *map, uintptr_t address)
{
	return find_area(map, address) != NULL;
}

bool code_map_is_program(const struct code_map *map, uintptr_t address)
{
	const struct area *area = find_area(map, address);

	return area && strcmp(area->path, map->program) == 0;
}

/* ---- Symbols of a file ---- */

static bool read_at(int fd, void *data, size_t bytes, uint64_t offset)
{
	return pread(fd, data, bytes, (off_t)offset) == (ssize_t)bytes;
}

/* Where the byte at this offset of the file lies in memory, before relocation. */
static bool address_of_offset(int fd, const ElfW(Ehdr) *head, uint64_t offset, uint64_t *ret_address)
{
	for (unsigned int i = 0; i < head->e_phnum && i < MAX_SEGMENTS; i++) {
		ElfW(Phdr) segment;

		if (!read_at(fd, &segment, sizeof(segment), head->e_phoff + i * sizeof(segment)))
			return false;
		if (segment.p_type == PT_LOAD && offset >= segment.p_offset && offset - segment.p_offset < segment.p_filesz) {
			*ret_address = segment.p_vaddr + (offset - segment.p_offset);
			return true;
		}
	}
	return false;
}

/* The full table where the file has one: plugins keep their functions static. */
static bool find_table(int fd, const ElfW(Ehdr) *head, ElfW(Shdr) *ret_symbols, ElfW(Shdr) *ret_names)
{
	bool found = false;

	for (unsigned int i = 0; i < head->e_shnum && i < MAX_SECTIONS; i++) {
		ElfW(Shdr) section;

		if (!read_at(fd, &section, sizeof(section), head->e_shoff + i * sizeof(section)))
			return false;
		if ((section.sh_type != SHT_SYMTAB && section.sh_type != SHT_DYNSYM) || section.sh_link >= head->e_shnum ||
		    (found && section.sh_type == SHT_DYNSYM))
			continue;
		*ret_symbols = section;
		found = read_at(fd, ret_names, sizeof(*ret_names), head->e_shoff + section.sh_link * sizeof(section));
	}
	return found;
}

static bool covers(const ElfW(Sym) *symbol, uint64_t address)
{
	return (symbol->st_info & 0xf) == STT_FUNC && symbol->st_shndx != SHN_UNDEF && address >= symbol->st_value &&
	       address - symbol->st_value < symbol->st_size;
}

static bool find_symbol(int fd, uint64_t address, char name[NAME_BYTES], uint64_t *ret_start)
{
	ElfW(Sym) symbols[SYMBOLS_AT_ONCE];
	ElfW(Ehdr) head;
	ElfW(Shdr) table, names;
	uint64_t n;

	if (!read_at(fd, &head, sizeof(head), 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
	    !find_table(fd, &head, &table, &names))
		return false;
	n = table.sh_size / sizeof(symbols[0]) < MAX_SYMBOLS ? table.sh_size / sizeof(symbols[0]) : MAX_SYMBOLS;
	for (uint64_t at = 0; at < n; at += SYMBOLS_AT_ONCE) {
		size_t part = n - at < SYMBOLS_AT_ONCE ? (size_t)(n - at) : SYMBOLS_AT_ONCE;

		if (!read_at(fd, symbols, part * sizeof(symbols[0]), table.sh_offset + at * sizeof(symbols[0])))
			return false;
		for (size_t i = 0; i < part; i++) {
			ssize_t got;

			if (!covers(&symbols[i], address))
				continue;
			got = pread(fd, name, NAME_BYTES - 1, (off_t)(names.sh_offset + symbols[i].st_name));
			name[got < 0 ? 0 : got] = '\0';
			*ret_start = symbols[i].st_value;
			return name[0] != '\0';
		}
	}
	return false;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void code_map_describe(const struct code_map *map, uintptr_t address, bool after, char *text, size_t bytes)
{
	const struct area *area = find_area(map, address);
	_cleanup_close_ int fd = area ? open(area->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	uint64_t offset = area ? address - area->start + area->offset : 0, start, place;
	char name[NAME_BYTES];
	ElfW(Ehdr) head;

	if (!area) {
		(void)snprintf(text, bytes, "0x%lx", (unsigned long)address);
		return;
	}
	if (fd >= 0 && read_at(fd, &head, sizeof(head), 0) && address_of_offset(fd, &head, offset, &place) &&
	    find_symbol(fd, place - (after ? 1 : 0), name, &start))
		(void)snprintf(text, bytes, "%s+0x%llx (%s)", name, (unsigned long long)(place - start), base_name(area->path));
	else
		(void)snprintf(text, bytes, "%s+0x%llx", base_name(area->path), (unsigned long long)offset);
}
