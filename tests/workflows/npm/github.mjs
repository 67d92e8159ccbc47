// GitHub's own parser and evaluator of workflows, for tests: a question per line on standard input, an answer per line.
//
//   {"validate": path, "text": text, "files": {path: text}}   what the parser finds in a workflow or an action
//   {"evaluate": condition, "contexts": {...}, "status": {...}}   what a job's `if:` is worth

import { registerHooks } from "node:module";
import { createInterface } from "node:readline";

// These packages import JSON as bundlers allow it; Node asks for a word more.
registerHooks({
  resolve(name, context, next) {
    const found = next(name, context);
    return found.url.endsWith(".json") ? { ...found, importAttributes: { type: "json" } } : found;
  },
});
const { data, Evaluator, Lexer, Parser, wellKnownFunctions } = await import("@actions/expressions");
const { validate } = await import("@actions/languageservice");
const { TextDocument } = await import("vscode-languageserver-textdocument");

const STATUS = ["always", "cancelled", "failure", "success"];
let asked = 0;

async function problems({ validate: path, text, files }) {
  // Documents are kept by their address: each question has one of its own.
  const document = TextDocument.create(`file:///${(asked += 1)}/${path}`, "yaml", 1, text);
  const getFileContent = async (file) => {
    const name = file.path ?? file;
    if (!(name in files)) throw new Error(`there is no ${name}`);
    return { name, content: files[name] };
  };
  // What the actions of others take is not known here, so no one is asked for it.
  const found = await validate(document, { fileProvider: { getFileContent } });
  return found.map(({ message, range }) => `${path}:${range.start.line + 1}: ${message}`);
}

function toData(value) {
  if (value === null || value === undefined) return new data.Null();
  if (typeof value === "boolean") return new data.BooleanData(value);
  if (typeof value === "number") return new data.NumberData(value);
  if (typeof value === "string") return new data.StringData(value);
  if (Array.isArray(value)) return new data.Array(...value.map(toData));
  return new data.Dictionary(...Object.entries(value).map(([key, each]) => ({ key, value: toData(each) })));
}

function truth({ evaluate: condition, contexts, status }) {
  const expression = condition.trim().replace(/^\$\{\{([\s\S]*)\}\}$/, "$1");
  // As GitHub does it: without a function of the status, a job that one before has failed does not run.
  const whole = STATUS.some((name) => expression.includes(`${name}(`)) ? expression : `success() && (${expression})`;
  const functions = STATUS.map((name) => ({
    name,
    minArgs: 0,
    maxArgs: 0,
    call: () => new data.BooleanData(name === "always" || Boolean(status[name])),
  }));
  const { tokens } = new Lexer(whole).lex();
  const parsed = new Parser(tokens, Object.keys(contexts), [...functions, ...Object.values(wellKnownFunctions)]).parse();
  const known = new Map(functions.map((each) => [each.name, each]));
  const { value, kind, ...other } = new Evaluator(parsed, toData(contexts), known).evaluate();
  return kind === data.Kind.Null ? false : value === undefined ? other : Boolean(value);
}

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  let answer;
  try {
    answer = { answer: "validate" in question ? await problems(question) : truth(question) };
  } catch (error) {
    answer = { error: String(error?.stack ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
