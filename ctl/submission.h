/* The JSON object that `run` submits, from its options. */
#ifndef CONCD_CTL_SUBMISSION_H
#define CONCD_CTL_SUBMISSION_H

#include <stdbool.h>

#include <jansson.h>

struct buffer;
struct ctl;
struct error;

/* The object for ctl's options, with a new random submission id; inputs_format is packed. The workload is the first
 * word. Asks the daemon where --after says @last. 0 and a reference for the caller, or -EINVAL with the option, its value and an
 * example, or -errno with words. */
int submission_make(struct ctl *ctl, json_t **ret_json, struct error *err);

/* Append it as one line, with "open" where more pieces will follow. 0 or -ENOMEM. */
int submission_write(json_t *json, bool open, struct buffer *b);

#endif
