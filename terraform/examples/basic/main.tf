# One fleet behind an internal load balancer, and the role that the service needs for it:
#
#   terraform init
#   terraform apply -var vpc_id=vpc-… -var 'subnet_ids=["subnet-…","subnet-…","subnet-…"]' -var scaler_security_group_id=sg-…
#   terraform output -raw fleet_toml > web.toml # for fleets/web.toml of the configuration

provider "aws" {
  region = var.region
}

# Resolved here, once for every apply: a new image is a new version of the template, which the fleet's file then names.
data "aws_ami" "debian" {
  most_recent = true
  owners      = ["136693071363"] # Debian

  filter {
    name   = "name"
    values = ["debian-12-arm64-*"]
  }
}

data "aws_vpc" "this" {
  id = var.vpc_id
}

resource "aws_security_group" "balancer" {
  name        = "fleet-scaler-web-balancer"
  description = "Internal load balancer of the fleet web"
  vpc_id      = var.vpc_id

  ingress {
    description = "Clients in the VPC"
    from_port   = 80
    to_port     = 80
    protocol    = "tcp"
    cidr_blocks = [data.aws_vpc.this.cidr_block]
  }

  egress {
    description = "The hosts"
    from_port   = 80
    to_port     = 80
    protocol    = "tcp"
    cidr_blocks = [data.aws_vpc.this.cidr_block]
  }
}

resource "aws_security_group" "host" {
  name        = "fleet-scaler-web-host"
  description = "Hosts of the fleet web"
  vpc_id      = var.vpc_id

  ingress {
    description     = "The load balancer"
    from_port       = 80
    to_port         = 80
    protocol        = "tcp"
    security_groups = [aws_security_group.balancer.id]
  }

  ingress {
    description     = "Fleet Scaler reads the metrics of node_exporter"
    from_port       = 9100
    to_port         = 9100
    protocol        = "tcp"
    security_groups = [var.scaler_security_group_id]
  }

  egress {
    description = "Packages, while it boots"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

module "web" {
  source = "../../modules/fleet"

  name               = "web"
  owner              = var.owner
  image_id           = data.aws_ami.debian.id
  instance_types     = ["m7g.large", "m6g.large"]
  subnet_ids         = var.subnet_ids
  security_group_ids = [aws_security_group.host.id]
  size               = { min = 2, max = 20 }
  target_group       = { vpc_id = var.vpc_id, port = 80 }

  user_data = <<-EOT
    #!/bin/sh
    set -eu
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y nginx prometheus-node-exporter
  EOT
}

# Without a listener that uses it, a target group calls every target `unused`, and no host would ever be healthy.
resource "aws_lb" "web" {
  name                       = "fleet-scaler-web"
  internal                   = true
  load_balancer_type         = "application"
  subnets                    = var.subnet_ids
  security_groups            = [aws_security_group.balancer.id]
  drop_invalid_header_fields = true
}

resource "aws_lb_listener" "web" {
  load_balancer_arn = aws_lb.web.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type             = "forward"
    target_group_arn = module.web.target_group_arns[0]
  }
}

module "scaler" {
  source = "../../modules/service-role"

  name                = "fleet-scaler-${var.owner}"
  owner               = var.owner
  launch_template_ids = [module.web.launch_template_id]
  subnet_ids          = var.subnet_ids
  security_group_ids  = [aws_security_group.host.id]
  target_group_arns   = module.web.target_group_arns
}
