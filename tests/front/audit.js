/* SPDX-License-Identifier: Apache-2.0 */
/* What a person could not read or reach on a page; run by seen.py. Names of controls are Chromium's own matter (its accessibility tree). */
(() => {
	const faults = [],
		seen = (e) =>
			e.checkVisibility({ checkVisibilityCSS: true }) && e.getClientRects().length > 0 &&
			!e.closest(".vh, .skip");
	const what = (e) =>
		`<${e.tagName.toLowerCase()}${e.id ? ` id=${e.id}` : ""}${
			e.className && typeof e.className === "string" ? ` class=${e.className}` : ""
		}> ${(e.textContent ?? "").trim().slice(0, 30)}`;
	const bad = (rule, e) => faults.push(`${rule}: ${e instanceof Element ? what(e) : e}`);

	/* ---- contrast: WCAG 2.2, 1.4.3 and 1.4.11 ---- */
	const numbers = (c) => {
		const n = c.match(/[\d.]+/g).map(Number);
		return { r: n[0], g: n[1], b: n[2], a: n[3] ?? 1 };
	};
	const over = (top, under) => ({
		r: top.r * top.a + under.r * (1 - top.a),
		g: top.g * top.a + under.g * (1 - top.a),
		b: top.b * top.a + under.b * (1 - top.a),
		a: 1,
	});
	const light = (c) => {
		const f = (v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
		return .2126 * f(c.r) + .7152 * f(c.g) + .0722 * f(c.b);
	};
	const ratio = (a, b) => {
		const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
		return (x + .05) / (y + .05);
	};
	const ground = (e) => {
		const layers = [];
		for (let at = e; at; at = at.parentElement) {
			layers.push(numbers(getComputedStyle(at).backgroundColor));
		}
		return layers.reverse().reduce((under, top) => over(top, under), { r: 255, g: 255, b: 255, a: 1 });
	};
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	const told = new Set();
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement;
		if (!walk.currentNode.data.trim() || told.has(e) || e.closest("script, style, noscript") || !seen(e)) {
			continue;
		}
		told.add(e);
		const style = getComputedStyle(e), size = parseFloat(style.fontSize), under = ground(e);
		const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
		const got = ratio(over(numbers(style.color), under), under);
		if (got < (large ? 3 : 4.5)) {
			bad(`contrast ${got.toFixed(2)}`, e);
		}
	}
	for (
		const e of document.querySelectorAll(
			"input:not([type=checkbox],[type=radio]), textarea, select, button",
		)
	) {
		const style = getComputedStyle(e);
		if (!seen(e) || e.disabled || e.getAttribute("role") === "tab") {
			continue;
		}
		if (
			Math.max(
				ratio(numbers(style.borderColor.split(") ")[0]), ground(e.parentElement)),
				ratio(ground(e), ground(e.parentElement)),
			) < 3
		) {
			bad("the edge of a control has no contrast of 3", e);
		}
		const hint = e.placeholder && !e.value ? getComputedStyle(e, "::placeholder").color : null;
		if (hint && ratio(over(numbers(hint), ground(e)), ground(e)) < 4.5) {
			bad("placeholder", e);
		}
	}

	/* ---- structure ---- */
	if (!document.documentElement.lang) bad("no lang", document.documentElement);
	if (!document.title) bad("no title", document.documentElement);
	if (document.querySelectorAll("main").length !== 1) {
		bad("main landmarks", String(document.querySelectorAll("main").length));
	}
	if (document.querySelectorAll("h1").length !== 1) bad("h1", String(document.querySelectorAll("h1").length));
	let level = 0;
	for (const h of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
		if (!seen(h) || h.closest("dialog")) continue;
		if (Number(h.tagName[1]) > level + 1) {
			bad(`a heading of level ${h.tagName[1]} behind one of ${level}`, h);
		}
		level = Number(h.tagName[1]);
	}
	for (const e of document.body.children) {
		if (
			seen(e) &&
			!e.matches(
				"header, main, nav, aside, footer, dialog, script, section[aria-label], [role=alert], [role=status], .frame, #tip",
			)
		) bad("outside of every landmark", e);
	}
	for (const e of document.querySelectorAll("section[aria-label], nav, aside")) {
		if (!e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby")) {
			bad("a landmark without a name", e);
		}
	}
	const ids = new Map();
	for (const e of document.querySelectorAll("[id]")) {
		if (ids.has(e.id)) bad("an id twice", e);
		ids.set(e.id, e);
	}
	for (const name of ["for", "aria-labelledby", "aria-describedby", "aria-controls"]) {
		for (const e of document.querySelectorAll(`[${name}]`)) {
			for (const id of e.getAttribute(name).split(/\s+/)) {
				if (!ids.has(id)) bad(`${name} names nothing`, e);
			}
		}
	}
	for (const e of document.querySelectorAll("input, select, textarea")) {
		if (seen(e) && !e.labels.length && !e.getAttribute("aria-label")) bad("no label", e);
	}
	for (const e of document.querySelectorAll("[tabindex]")) {
		if (e.tabIndex > 0) bad("an order of its own", e);
	}
	for (const e of document.querySelectorAll("th")) {
		if (!e.scope) bad("a heading of a table without scope", e);
	}
	for (const e of document.querySelectorAll("[role=tab]")) {
		if (!e.closest("[role=tablist]") || !e.hasAttribute("aria-selected")) bad("a tab alone", e);
	}
	if (!document.querySelector("[role=status]")) bad("nothing that is read out", document.body);

	/* ---- reach: WCAG 2.2, 2.5.8 and 1.4.10 ---- */
	for (const e of document.querySelectorAll("button, input, select, textarea, summary, .check")) {
		const r = (e.matches("[type=checkbox], [type=radio]") ? e.closest(".check") ?? e : e)
			.getBoundingClientRect();
		if (seen(e) && (r.width < 24 || r.height < 24)) {
			bad(`${Math.round(r.width)} x ${Math.round(r.height)} pixels`, e);
		}
	}
	if (document.documentElement.scrollWidth > document.documentElement.clientWidth) {
		bad(
			`wider than the window, ${document.documentElement.scrollWidth} > ${document.documentElement.clientWidth}`,
			document.documentElement,
		);
	}
	return faults;
})();
