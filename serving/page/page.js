"use strict";
// One row in, one answer out, over the same protocol that programs use.

const at = (id) => document.getElementById(id);

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== null) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

let form;
let pixels = null;

function field(input) {
  const label = element("label", input.name);
  if (input.shape.length > 1) {
    label.className = "wide";
    label.textContent = "An image";
    const file = element("input", null, { type: "file", accept: "image/*", required: "" });
    const [, height, width] = input.shape;
    const canvas = element("canvas", null, { width, height, "aria-label": "What the model sees" });
    file.addEventListener("change", () => draw(file.files[0], canvas, input.shape[3]));
    label.append(file, canvas);
    return label;
  }
  let control;
  if (input.choices.length || input.datatype === "BOOL") {
    control = element("select", null);
    const choices = input.choices.length ? input.choices : [true, false];
    if (input.nullable) control.append(element("option", "(missing)", { value: "" }));
    for (const choice of choices) control.append(element("option", String(choice), { value: JSON.stringify(choice) }));
    control.value = JSON.stringify(input.choices.length ? input.example : false);
  } else if (form.task === "text-classification") {
    label.className = "wide";
    control = element("textarea", input.example);
  } else if (input.datatype === "BYTES") {
    control = element("input", null, { value: input.example });
    if (input.parameters) control.placeholder = `such as ${input.example}`; // a time, in ISO 8601
  } else {
    const step = input.datatype === "INT64" ? "1" : "any";
    control = element("input", null, { type: "number", step, value: input.example });
  }
  control.name = input.name;
  if (!input.nullable && control.tagName !== "SELECT") control.required = true;
  label.append(control);
  return label;
}

async function draw(file, canvas, channels) {
  pixels = null;
  if (!file) return;
  const picture = await createImageBitmap(file);
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const shown = context.getImageData(0, 0, canvas.width, canvas.height);
  pixels = [];
  for (let index = 0; index < shown.data.length; index += 4) {
    const [red, green, blue] = shown.data.slice(index, index + 3);
    if (channels === 1) {
      const grey = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
      pixels.push(grey / 255);
      shown.data.set([grey, grey, grey], index);
    } else {
      pixels.push(red / 255, green / 255, blue / 255);
    }
  }
  context.putImageData(shown, 0, 0);
}

function value(input, text) {
  if (input.shape.length > 1) return pixels;
  if (text === "" && input.nullable) return [null];
  if (input.choices.length || input.datatype === "BOOL") return [JSON.parse(text)];
  return [input.datatype === "BYTES" ? text : Number(text)];
}

function request() {
  const given = new FormData(at("form"));
  return {
    inputs: form.inputs.map((input) => ({
      name: input.name,
      datatype: input.datatype,
      shape: [1, ...input.shape.slice(1)],
      data: value(input, given.get(input.name)),
    })),
  };
}

async function ask(event) {
  event.preventDefault();
  at("error").hidden = true;
  at("result").hidden = true;
  try {
    const body = JSON.stringify(request());
    const answered = await fetch(`/v2/models/${form.name}/infer`, { method: "POST", body });
    const said = await answered.json();
    if (!answered.ok) throw new Error(said.error);
    show(said);
  } catch (error) {
    at("error").textContent = error.message;
    at("error").hidden = false;
  }
  state();
}

function show(said) {
  const outputs = Object.fromEntries(said.outputs.map((output) => [output.name, output.data]));
  at("answer").textContent = outputs.answer[0];
  const rows = (outputs.probabilities || []).map((probability, index) => [form.classes[index], probability]);
  rows.sort((one, other) => other[1] - one[1]);
  at("probabilities").replaceChildren(
    ...rows.slice(0, 10).map(([name, probability]) => {
      const row = element("tr", null);
      const cell = element("td", null);
      cell.append(element("meter", null, { value: probability, "aria-label": `probability of ${name}` }));
      row.append(element("th", name, { scope: "row" }), cell, element("td", `${(100 * probability).toFixed(1)} %`));
      return row;
    }),
  );
  const about = [
    ["version", said.parameters.version],
    ["ledger entry", said.parameters.ledger_entry],
    ["SHA-256 of the model", said.parameters.sha256],
  ];
  at("about").replaceChildren(...about.flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
  at("result").hidden = false;
}

async function state() {
  const said = await (await fetch("/v2/health/ready")).json();
  const hint = said.problem && said.problem.hint ? ` Hint: ${said.problem.hint}.` : "";
  const problem = said.problem ? ` Not up to date: ${said.problem.message} (${said.problem.name}).${hint}` : "";
  at("state").textContent = said.ready
    ? `Serving ${said.version} (ledger entry ${said.ledger_entry}), verified ${said.verified_at}.${problem}`
    : `No version is loaded yet.${problem}`;
}

async function begin() {
  form = await (await fetch("/form")).json();
  at("name").textContent = form.name;
  at("fields").replaceChildren(...form.inputs.map(field));
  at("made-up").hidden = form.inputs.every((input) => input.shape.length > 1);
  at("form").hidden = false;
  at("form").addEventListener("submit", ask);
  const here = location.origin;
  at("curl").textContent = `curl -s ${here}/example | curl -s --data @- ${here}/v2/models/${form.name}/infer`;
  await state();
}

begin();
