/* SPDX-License-Identifier: Apache-2.0 */
/* The form of parameters: made from the OpenAPI document's schema of the request, which the server makes from its own tables. */

/* What this page sets by itself, and why a person need not. */
const ownFields = {
	stream: "always true here",
	details: "always true here",
	logprobs: "always true here",
	decoder_input_details: "the button Prompt tokens asks for it",
	messages: null,
	model: null,
	inputs: null,
	prompt: null,
	parameters: null,
	stream_options: "set by this page",
	n: "Answers side by side, above",
};
/* What a page wants to see and the API's default does not give; until somebody changes it. */
const firstValues = { max_new_tokens: "200", max_tokens: "200", top_n_tokens: "5", top_logprobs: "5" };

class Parameters {
	/* schema: of the object that holds them. name: what the values are kept under. */
	constructor(schema, name) {
		this.schema = schema;
		this.name = name;
		this.fields = new Map();
		this.kept = recall(`parameters ${name}`, null);
	}

	/* The form's elements, all new. */
	show(box, changed) {
		this.changed = changed;
		this.fields.clear();
		box.replaceChildren(
			...Object.entries(this.schema.properties ?? {}).map(([name, s]) => this.field(name, s)).filter(
				Boolean,
			),
		);
		this.look();
	}

	first(name, schema) {
		const most = schema.maximum ?? Infinity, value = firstValues[name];
		return value === undefined ? "" : String(Math.min(Number(value), most) || "");
	}

	field(name, schema) {
		const own = ownFields[name];
		if (own === null || (typesOf(schema)[0] === undefined && !schema.anyOf)) {
			return own === null ? null : this.absent(name, schema);
		}
		const id = `p-${this.name}-${name}`, kind = typesOf(schema)[0];
		const range = rangeOf(schema),
			words = [
				schema.description,
				range,
				schema.default !== undefined && schema.default !== null &&
					!own
					? `default: ${write(schema.default)}`
					: "",
			].filter(Boolean).join("; ");
		const doc = el("small", { id: `${id}-doc` }, own ? `${words} (${own})` : words);
		const label = el("label", { htmlFor: id }, name);
		let input;
		if (kind === "boolean") {
			input = el("input", {
				type: "checkbox",
				id,
				"aria-describedby": doc.id,
				disabled: Boolean(own),
			});
			input.checked = own ? name !== "decoder_input_details" : (this.kept?.[name] ?? false) === true;
		} else {
			const lines = kind === "array", text = lines || !["integer", "number"].includes(kind);
			const value = this.kept?.[name] ?? (this.kept ? "" : this.first(name, schema));
			input = el(lines || kind === "object" ? "textarea" : "input", {
				id,
				"aria-describedby": doc.id,
				value,
				disabled: Boolean(own),
				rows: lines || kind === "object" ? 2 : null,
				spellcheck: false,
				autocomplete: "off",
				inputMode: text ? null : kind === "integer" ? "numeric" : "decimal",
				placeholder: lines ? "one a line" : kind === "object" ? "JSON" : "not given",
			});
		}
		if (!own) {
			input.addEventListener("input", () => {
				this.store();
				this.look();
			});
			this.fields.set(name, { input, schema, kind, doc });
		}
		return kind === "boolean"
			? el("div", { className: "field" }, el("div", { className: "check" }, input, label), doc)
			: el("div", { className: "field" }, label, input, doc);
	}

	/* A field that this server knows and does not have yet. */
	absent(name, schema) {
		return el("div", { className: "field" }, el("b", {}, name), el("small", {}, schema.description ?? ""));
	}

	store() {
		const values = {};
		for (const [name, { input, kind }] of this.fields) {
			values[name] = kind === "boolean" ? input.checked : input.value;
		}
		this.kept = values;
		keep(`parameters ${this.name}`, values);
		this.changed?.();
	}

	defaults(box) {
		this.kept = null;
		keep(`parameters ${this.name}`, null);
		this.show(box, this.changed);
		this.changed?.();
	}

	/* Take values that a history entry has. */
	take(values, box) {
		this.kept = values;
		keep(`parameters ${this.name}`, values);
		this.show(box, this.changed);
	}

	/* The value of a field as JSON has it, undefined when it is not given. Throws the words for what cannot be read. */
	read(name) {
		const { input, schema, kind } = this.fields.get(name);
		if (kind === "boolean") {
			return input.checked ? true : undefined;
		}
		const text = input.value.trim();
		if (kind === "array") {
			const lines = input.value.split("\n").filter((line) => line !== "");
			const whole = (schema.items?.type ?? "string") !== "string";
			return lines.length
				? lines.map((line) => whole ? this.parse(line) : line.replaceAll("\\n", "\n"))
				: undefined;
		}
		if (!text) {
			return undefined;
		}
		if (kind === "integer") {
			if (!/^-?\d+$/.test(text)) {
				throw new Error("a whole number is wanted");
			}
			const n = BigInt(text);
			return n > BigInt(Number.MAX_SAFE_INTEGER) ? n : Number(n);
		}
		if (kind === "number") {
			if (!Number.isFinite(Number(text))) {
				throw new Error("a number is wanted");
			}
			return Number(text);
		}
		if (kind === "string" && !schema.anyOf) {
			return input.value;
		}
		return this.parse(text);
	}
	parse(text) {
		try {
			return JSON.parse(text);
		} catch {
			throw new Error("JSON is wanted");
		}
	}

	/* Words against the range of the document; "" when nothing is wrong. The server has the last word. */
	fault(name) {
		const { schema } = this.fields.get(name);
		let value;
		try {
			value = this.read(name);
		} catch (error) {
			return error.message;
		}
		const n = Array.isArray(value) ? value.length : value;
		if (value === undefined || (typeof n !== "number" && typeof n !== "bigint")) {
			return "";
		}
		const bad = n < (schema.minimum ?? schema.minItems ?? -Infinity) ||
			n > (schema.maximum ?? schema.maxItems ?? Infinity) ||
			n <= (schema.exclusiveMinimum ?? -Infinity) || n >= (schema.exclusiveMaximum ?? Infinity);
		return bad ? `not in its range, ${rangeOf(schema)}` : "";
	}

	/* Mark what cannot be right. */
	look() {
		for (const [name, field] of this.fields) {
			const words = this.fault(name);
			field.input.setAttribute("aria-invalid", String(Boolean(words)));
			field.warning?.remove();
			field.warning = null;
			if (words) {
				field.warning = el("small", { className: "bad" }, words);
				field.doc.after(field.warning);
			}
		}
	}

	/* All that are given. What cannot even be read is left out. */
	values() {
		const values = {};
		for (const name of this.fields.keys()) {
			try {
				values[name] = this.read(name);
			} catch { /* look() has said so */ }
		}
		return Object.fromEntries(Object.entries(values).filter(([, v]) => v !== undefined));
	}
}
