"""Transfer to detection: a run's ResNet inside torchvision's Faster and Mask R-CNN, on data in VOC or COCO format."""
