/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#ifndef INCLUDED_KDAMC_API_H
#define INCLUDED_KDAMC_API_H

#include <gnuradio/attributes.h>

#ifdef gnuradio_kdamc_EXPORTS
#define KDAMC_API __GR_ATTR_EXPORT
#else
#define KDAMC_API __GR_ATTR_IMPORT
#endif

#endif /* INCLUDED_KDAMC_API_H */
