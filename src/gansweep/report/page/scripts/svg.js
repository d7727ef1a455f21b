// A pen with the methods of a canvas that the page uses, which writes SVG: for figures that draw
// themselves.

function svgOf(width, height, paint) {
  const parts = [];
  let path = [];
  let dash = [];
  const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/"/g, "&quot;");
  const round = (value) => Math.round(value * 100) / 100;
  const ruler = document.createElement("canvas").getContext("2d");
  const pen = {
    globalAlpha: 1, lineWidth: 1, strokeStyle: "#000", fillStyle: "#000", font: "11px sans-serif", textBaseline: "middle",
    clearRect() {},
    beginPath() { path = []; },
    moveTo(x, y) { path.push(`M${round(x)} ${round(y)}`); },
    lineTo(x, y) { path.push(`L${round(x)} ${round(y)}`); },
    setLineDash(lengths) { dash = lengths; },
    stroke() {
      const dashed = dash.length ? ` stroke-dasharray="${dash.join(" ")}"` : "";
      parts.push(`<path d="${path.join("")}" fill="none" stroke="${pen.strokeStyle}" stroke-width="${pen.lineWidth}" opacity="${pen.globalAlpha}"${dashed}/>`);
    },
    fillRect(x, y, w, h) {
      parts.push(`<rect x="${round(x)}" y="${round(y)}" width="${round(w)}" height="${round(h)}" fill="${pen.fillStyle}" opacity="${pen.globalAlpha}"/>`);
    },
    fillText(text, x, y) {
      const [size, weight] = [parseFloat(pen.font.match(/([\d.]+)px/)[1]), /^(\d{3}) /.exec(pen.font)];
      parts.push(`<text x="${round(x)}" y="${round(y)}" dominant-baseline="middle" font-family="sans-serif" font-size="${size}"${weight ? ` font-weight="${weight[1]}"` : ""} fill="${pen.fillStyle}">${escaped(text)}</text>`);
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
