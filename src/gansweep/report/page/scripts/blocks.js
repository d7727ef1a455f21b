// Blocks of bytes in the page, unpacked when they are needed; what is saved, copied and said.

const { make } = gansweep;

const unpacked = new Map();

async function present(id) {
  for (;;) {
    const element = document.getElementById(id);
    // while the page is being read, an element may have a part of its text
    if (element && (element.nextSibling || document.readyState !== "loading")) return element;
    if (document.readyState !== "loading") throw new Error(`the page has no ${id}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

function decoded(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

// what the server of a live page sends
async function served(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`the server has no ${address} any more; it comes with the next update`);
  return new Uint8Array(await answer.arrayBuffer());
}

// the bytes of a block, once
function bytes(name) {
  if (!unpacked.has(name)) {
    unpacked.set(name, (async () => {
      const { live, build } = gansweep.payload;
      if (live) return served(`block/${build}/${name}`);
      const element = await present(`block-${name}`);
      const packed = decoded(element.textContent);
      element.remove();
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      return new Uint8Array(await new Response(stream).arrayBuffer());
    })());
  }
  return unpacked.get(name);
}

const libraries = new Map();

// unpack and run a script once; the policy names its hash
function library(name, found) {
  if (!libraries.has(name)) {
    libraries.set(name, (async () => {
      const script = document.createElement("script");
      script.textContent = new TextDecoder().decode(await bytes(name));
      unpacked.delete(name);
      document.head.append(script);
      script.remove();
      if (!found()) throw new Error(`${name} did not run`);
      return found();
    })());
  }
  return libraries.get(name);
}

// ---- saving and copying

function save(name, content) {
  const blob = content instanceof Blob ? content : new Blob([content], { type: "text/plain" });
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function copy(words) {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    // a page opened from a file may have no clipboard: select the text, then copy it the old way
    const area = make("textarea");
    area.value = words;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

// say something to a screen reader, and briefly on the page
function announce(words) {
  document.getElementById("live").textContent = words;
}

gansweep.bytes = bytes;
// the blocks of an earlier state of a live page
gansweep.forget = () => unpacked.clear();
gansweep.plotly = () => library("plotly", () => globalThis.Plotly);
gansweep.datatables = () => library("datatables", () => globalThis.DataTable);
Object.assign(gansweep, { save, copy, announce });
