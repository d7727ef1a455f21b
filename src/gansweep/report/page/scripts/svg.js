// A pen with the methods of a canvas that the page's own figures use, which writes SVG.

const ANCHORS = { left: "start", center: "middle", right: "end" };

function svgOf(width, height, paint) {
  const parts = [];
  let path = [];
  let dash = [];
  let clips = 0;
  const open = []; // for each save: whether a group was opened since
  const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/"/g, "&quot;");
  const round = (value) => Math.round(value * 100) / 100;
  const ruler = document.createElement("canvas").getContext("2d");
  const pen = {
    globalAlpha: 1, lineWidth: 1, strokeStyle: "#000", fillStyle: "#000", font: "11px sans-serif", textAlign: "left",
    clearRect() {},
    save() { open.push(0); },
    restore() { for (let left = open.pop(); left > 0; left -= 1) parts.push("</g>"); },
    clip() {
      clips += 1;
      parts.push(`<clipPath id="clip${clips}"><path d="${path.join("")}"/></clipPath><g clip-path="url(#clip${clips})">`);
      open[open.length - 1] += 1;
    },
    beginPath() { path = []; },
    closePath() { path.push("Z"); },
    moveTo(x, y) { path.push(`M${round(x)} ${round(y)}`); },
    lineTo(x, y) { path.push(`L${round(x)} ${round(y)}`); },
    rect(x, y, w, h) { path.push(`M${round(x)} ${round(y)}h${round(w)}v${round(h)}h${round(-w)}Z`); },
    // whole circles alone
    arc(x, y, r) { path.push(`M${round(x - r)} ${round(y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`); },
    setLineDash(lengths) { dash = lengths; },
    stroke() {
      const dashed = dash.length ? ` stroke-dasharray="${dash.join(" ")}"` : "";
      parts.push(`<path d="${path.join("")}" fill="none" stroke="${pen.strokeStyle}" stroke-width="${pen.lineWidth}" opacity="${pen.globalAlpha}"${dashed}/>`);
    },
    fill() { parts.push(`<path d="${path.join("")}" fill="${pen.fillStyle}" opacity="${pen.globalAlpha}"/>`); },
    fillRect(x, y, w, h) {
      parts.push(`<rect x="${round(x)}" y="${round(y)}" width="${round(w)}" height="${round(h)}" fill="${pen.fillStyle}" opacity="${pen.globalAlpha}"/>`);
    },
    fillText(text, x, y) {
      const [size, weight] = [parseFloat(pen.font.match(/([\d.]+)px/)[1]), /^(\d{3}) /.exec(pen.font)];
      const bold = weight ? ` font-weight="${weight[1]}"` : "";
      parts.push(`<text x="${round(x)}" y="${round(y)}" dominant-baseline="middle" text-anchor="${ANCHORS[pen.textAlign]}" font-family="sans-serif" font-size="${size}"${bold} fill="${pen.fillStyle}">${escaped(text)}</text>`);
    },
    measureText(text) {
      ruler.font = pen.font;
      return ruler.measureText(text);
    },
  };
  paint(pen);
  const text = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${parts.join("")}</svg>`;
  return new Blob([text], { type: "image/svg+xml" });
}

gansweep.svgOf = svgOf;
