// Files against JSON Schemas, by ajv and by the YAML parser of yaml-language-server.
//
// Standard input: {"schemas": {name: schema}, "files": [{"schema": name, "text": text}]}. Standard output:
// for each file null, or what is wrong with it. A schema that ajv does not take as it is ends the program.
const Ajv = require("ajv/dist/2020");
const YAML = require("yaml");

const { schemas, files } = JSON.parse(require("fs").readFileSync(0, "utf8"));
// Inlined and optimised code is for servers: compiling it takes longer than all the rest here.
const ajv = new Ajv({ strictTypes: false, inlineRefs: false, code: { optimize: false } });
const validators = Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, ajv.compile(schema)]));
const customTags = [{ tag: "!file", resolve: (text) => text }];

function wrong({ schema, text }) {
  const validate = validators[schema];
  for (const document of YAML.parseAllDocuments(text, { merge: true, customTags, uniqueKeys: false, logLevel: "silent" })) {
    if (document.errors.length > 0) return String(document.errors[0]);
    let value;
    try {
      value = document.toJS();
    } catch (error) {
      return String(error);
    }
    if (!validate(value)) {
      return validate.errors.map((error) => `${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`).join("; ");
    }
  }
  return null;
}

console.log(JSON.stringify(files.map(wrong)));
